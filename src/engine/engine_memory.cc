// How an engine comes to a smaller cache when memory gets scarce, and back.
#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <utility>

#include "engine/engine_loop.h"

namespace hearth {
namespace {

std::string gigabytes(uint64_t bytes) { return fmt::format("{:.2f} GB", static_cast<double>(bytes) / 1e9); }

/// "the KV cache shrinks from 8.00 GB to 6.50 GB", and the context where it does, too.
std::string shrinking(const CachePlan& from, const CachePlan& to) {
  std::string text = fmt::format("the KV cache shrinks from {} to {}", gigabytes(from.bytes), gigabytes(to.bytes));
  if (to.context_length == from.context_length) return text;
  return text + fmt::format(", the context from {} to {} tokens", from.context_length, to.context_length);
}

/// "weights 17.10 GB, cache 4.00 GB, ...", what the devices hold.
std::string holdings(std::span<const DeviceMemoryUse> devices) {
  std::string text;
  for (size_t owner = 0; owner < kMemoryOwners.size(); ++owner) {
    uint64_t bytes = 0;
    for (const DeviceMemoryUse& device : devices) bytes += device.use.bytes[owner];
    text += fmt::format("{}{} {}", owner == 0 ? "" : ", ", kMemoryOwners[owner], gigabytes(bytes));
  }
  return text;
}

}  // namespace

/// All that runs is to be computed again.
void EngineLoop::set_plan(CachePlan plan) {
  plan_ = std::move(plan);
  context_length_ = plan_.context_length;
  cache_ = KvCache(parts_.cache_groups, plan_.blocks_per_group);
  for (auto next = requests_.begin(); next != requests_.end();) hold_to_context(*(next++)->second);
}

void EngineLoop::hold_to_context(ActiveRequest& active) {
  const uint32_t context = plan_.context_length;
  active.max_size = std::min(active.max_size, context);
  if (active.sequence.size() < context) return;
  fail_request(active, {ErrorCode::out_of_memory,
                        fmt::format("other programs have taken memory: the context holds {} tokens now, and this "
                                    "conversation has {}",
                                    context, active.sequence.size()),
                        "shorten it, or end what takes the memory"});
}

/// Nothing where it is as small as it can be.
std::optional<CachePlan> EngineLoop::smaller_plan() const {
  if (!parts_.memories || !parts_.resize) return {};
  return smaller_cache(parts_.cache_groups, parts_.plan, plan_, parts_.options, parts_.memories());
}

/// Until something comes in.
void EngineLoop::wait_for_commands() {
  if (!watch_) return;
  while (!inbox_.wait_for(stop_, parts_.watch_interval)) watch_memory();
}

void EngineLoop::watch_memory() {
  const TimePoint now = std::chrono::steady_clock::now();
  if (!watch_ || now < next_look_) return;
  next_look_ = now + parts_.watch_interval;
  if (program_ == nullptr) {
    if (lost_.code == ErrorCode::out_of_memory) make_program();
    return;
  }
  const std::vector<CacheMemory> memories = parts_.memories();
  const auto advice = watch_->look(memories, plan_.blocks_per_group, now);
  if (advice) return follow(*advice, memories);
}

void EngineLoop::follow(const MemoryWatch::Advice& advice, std::span<const CacheMemory> memories) {
  if (advice.missing_bytes == 0 && scheduler_.has_work() && !advice.was_calm_for_long) return;
  while (!in_flight_.empty()) take_results();
  if (program_ == nullptr) return;  // it was lost, and could not be made anew
  if (advice.missing_bytes == 0) {
    spdlog::info("there is room for the whole KV cache of {} again", gigabytes(parts_.plan.bytes));
    has_told_of_scarcity_ = false;
    return resize_cache(parts_.plan);
  }
  auto plan = hearth::resize_cache(parts_.cache_groups, parts_.plan, parts_.options, memories, advice.cache_bytes);
  const std::string scarcity =
      fmt::format("{} is short of {}, which others have taken (hearth holds {})", memories[advice.memory].memory.name,
                  gigabytes(advice.missing_bytes), holdings(program_->memory_use()));
  if (plan && plan->bytes < plan_.bytes) {
    spdlog::warn("{}; {}", scarcity, shrinking(plan_, *plan));
    return resize_cache(std::move(*plan));
  }
  if (std::exchange(has_told_of_scarcity_, true)) return;
  spdlog::warn("{}; the KV cache is as small as it can be: end other programs, or choose a smaller model", scarcity);
}

/// Whether there was less to go on with, after a step for which the driver had no memory.
bool EngineLoop::go_on_with_less(const Error& error) {
  auto plan = smaller_plan();
  if (!plan) return false;
  spdlog::warn("{}; {}", error.message, shrinking(plan_, *plan));
  // What is in flight would be computed again anyway.
  for (; !in_flight_.empty(); in_flight_.pop_front()) {
    if (in_flight_.front().submitted) std::ignore = program_->wait();
  }
  resize_cache(std::move(*plan));
  return true;
}

/// While no step is in flight.
void EngineLoop::resize_cache(CachePlan plan) {
  scheduler_.forget_computed();
  deliver_events();
  program_.reset();
  set_plan(std::move(plan));
  ++cache_resizes_;
  make_program();
}

/// With as much cache as is planned, or less where the memory is not there.
void EngineLoop::make_program() {
  for (;;) {
    auto made = parts_.resize(plan_.blocks_per_group, program_limits(parts_.options), stop_);
    if (made) {
      program_ = std::move(*made);
      return update_metrics();
    }
    lost_ = std::move(made.error());
    auto less = lost_.code == ErrorCode::out_of_memory ? smaller_plan() : std::nullopt;
    if (!less) break;
    set_plan(std::move(*less));
  }
  if (lost_.code == ErrorCode::device_lost && parts_.rebuild) return replace_program(lost_, plan_);
  spdlog::error("{}", to_string(lost_));
}

}  // namespace hearth
