// How an NpuOffload finds out what the NPU is better at.
#include <spdlog/spdlog.h>

#include <algorithm>

#include "device/cpu/step_context.h"
#include "device/npu/npu_offload.h"

namespace hearth {
namespace {

uint32_t count_alike(std::span<const cpu::OffloadCandidate> candidates, const std::string& name) {
  return static_cast<uint32_t>(std::ranges::count(candidates, name, &cpu::OffloadCandidate::name));
}

}  // namespace

Result<bool> NpuOffload::tune(const cpu::CpuStorage& storage, std::span<const cpu::OffloadCandidate> candidates,
                              const std::function<bool()>& is_interrupted) {
  if (use_.takes_from_tokens) return false;
  for (const auto step : {&NpuOffload::compare, &NpuOffload::copy_chosen}) {
    if (lost_) return false;
    const auto progress = (this->*step)(storage, candidates, is_interrupted);
    if (progress && *progress == Progress::interrupted) return true;
    if (progress || lost_) continue;
    give_up(progress.error());
  }
  if (!lost_ && !std::exchange(is_tuned_, true)) log_choice();
  return false;
}

/// Of each kind of product the first one stands for all. Its copy stays only where the NPU is better at it.
Result<NpuOffload::Progress> NpuOffload::compare(const cpu::CpuStorage& storage,
                                                 std::span<const cpu::OffloadCandidate> candidates,
                                                 const std::function<bool()>& is_interrupted) {
  for (const cpu::OffloadCandidate& candidate : candidates) {
    products_[candidate.weight.index] = candidate.name;
    for (const uint32_t tokens : npu_token_counts(candidate.most_tokens)) {
      if (choice_.is_known(candidate.name, tokens)) continue;
      if (is_interrupted()) return Progress::interrupted;
      const auto copy = copy_of(storage, candidate.weight);
      if (!copy) return std::unexpected(copy.error());
      if (*copy == nullptr) break;
      const uint32_t count = count_alike(candidates, candidate.name);
      const auto compared = compare_one(candidate, count, tokens, is_interrupted);
      if (!compared || *compared == Progress::interrupted) return compared;
    }
    if (!choice_.takes_some(candidate.name)) drop(candidate.weight);
  }
  return Progress::done;
}

Result<NpuOffload::Progress> NpuOffload::compare_one(const cpu::OffloadCandidate& candidate, uint32_t count,
                                                     uint32_t tokens, const std::function<bool()>& is_interrupted) {
  candidate.prepare(tokens);
  Measured measured[2];
  for (const bool offloaded : {false, true}) {
    const auto way = measure(candidate, tokens, offloaded, is_interrupted);
    if (!way) return std::unexpected(way.error());
    if (!*way) return Progress::interrupted;
    measured[offloaded ? 1 : 0] = **way;
  }
  const auto& [processor, npu] = measured;
  choice_.add({.product = candidate.name,
               .count = count,
               .tokens = tokens,
               .processor_seconds = processor.seconds,
               .npu_seconds = npu.seconds,
               .processor_joules = processor.joules,
               .npu_joules = npu.joules});
  return Progress::done;
}

/// The fastest of some runs; energy is the mean of those behind the first, over a time in which its counter moves many
/// times. What takes long is run once or twice. Nothing where it was interrupted, between two runs.
Result<std::optional<NpuOffload::Measured>> NpuOffload::measure(const cpu::OffloadCandidate& candidate, uint32_t tokens,
                                                                bool offloaded,
                                                                const std::function<bool()>& is_interrupted) {
  constexpr double kLongSeconds = 0.3, kSeconds = 0.02;
  constexpr int kMostRuns = 1000;
  const NpuMeter& meter = use_.meter;
  const auto run = [&] {
    const double begin = meter.seconds();
    candidate.run(tokens, offloaded);
    return meter.seconds() - begin;
  };
  Measured measured = {.seconds = run(), .joules = {}};
  const int least_runs = measured.seconds < kLongSeconds ? 3 : meter.joules ? 1 : 0;
  const auto joules_before = meter.joules ? meter.joules() : Result<double>(0);
  if (!joules_before) return std::unexpected(joules_before.error());
  const double end = meter.seconds() + (meter.joules ? meter.joules_seconds : kSeconds);
  int runs = 0;
  while (!lost_ && runs < kMostRuns && (runs < least_runs || (least_runs > 0 && meter.seconds() < end))) {
    if (is_interrupted()) return std::nullopt;
    measured.seconds = std::min(measured.seconds, run());
    ++runs;
  }
  if (lost_) return std::unexpected(*lost_);
  if (!meter.joules) return measured;
  const auto joules_after = meter.joules();
  if (!joules_after) return std::unexpected(joules_after.error());
  measured.joules = (*joules_after - *joules_before) / runs;
  return measured;
}

/// In the order of the program, as far as the memory goes.
Result<NpuOffload::Progress> NpuOffload::copy_chosen(const cpu::CpuStorage& storage,
                                                     std::span<const cpu::OffloadCandidate> candidates,
                                                     const std::function<bool()>& is_interrupted) {
  for (const cpu::OffloadCandidate& candidate : candidates) {
    if (copies_.contains(candidate.weight.index) || !choice_.takes_some(candidate.name)) continue;
    if (is_interrupted()) return Progress::interrupted;
    if (const auto copy = copy_of(storage, candidate.weight); !copy) return std::unexpected(copy.error());
  }
  return Progress::done;
}

void NpuOffload::log_choice() const {
  const auto better = std::ranges::count_if(
      choice_.comparisons(), [&](const NpuComparison& each) { return npu_is_better(each, use_.prefer); });
  spdlog::info("the NPU was {} in {} of {} comparisons with the processor; it has copies of {} matrices ({} MiB)",
               use_.prefer == NpuPreference::speed ? "faster" : "cheaper", better, choice_.comparisons().size(),
               copies_.size(), copied_bytes_.load() >> 20);
}

}  // namespace hearth
