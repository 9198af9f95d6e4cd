#include "app/step_profiler.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <numeric>
#include <random>

#include "device/tune_to_end.h"

namespace hearth::app {
namespace {

double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<ptrdiff_t>(values.size() / 2);
  std::ranges::nth_element(values, middle);
  return *middle;
}

}  // namespace

StepProfiler::StepProfiler(Model& model, const Limits& limits)
    : model_(&model), chunk_tokens_(std::max({limits.prompt_tokens, limits.sequences, 256U})) {
  const uint32_t length = std::max(limits.context + 1, limits.prompt_tokens);
  const uint32_t blocks = (length + kBlockTokens - 1) / kBlockTokens;
  int32_t next = 0;
  blocks_.resize(limits.sequences);
  states_.resize(limits.sequences);
  for (uint32_t s = 0; s < limits.sequences; ++s) {
    for (uint32_t i = 0; i < blocks; ++i) blocks_[s].push_back(next++);
    states_[s].fill(static_cast<int32_t>(s));
    std::vector<std::span<const int32_t>>& tables = block_tables_.emplace_back();
    for (const CacheGroup& group : model.cache_groups()) {
      tables.push_back(group.keeps_states ? std::span<const int32_t>(states_[s])
                                          : std::span<const int32_t>(blocks_[s]));
    }
  }
}

Result<StepProfiler> StepProfiler::create(Model& model, const Limits& limits) {
  const uint32_t most = model.config().context_length;
  const uint32_t longest = std::max(limits.context + 1, limits.prompt_tokens);
  if (longest > most || limits.context >= most) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("a step of {} tokens is longer than the model's context of {}", longest, most));
  }
  StepProfiler profiler(model, limits);
  const auto blocks = static_cast<uint32_t>(profiler.blocks_.size() * profiler.blocks_[0].size());
  std::vector<uint32_t> blocks_per_group;
  for (const CacheGroup& group : model.cache_groups()) {
    blocks_per_group.push_back(group.keeps_states ? limits.sequences : blocks);
  }
  if (auto made = model.create_cache(blocks_per_group); !made) return pass_on(made);
  auto program =
      model.compile({.tokens = profiler.chunk_tokens_, .logit_rows = limits.sequences, .sequences = limits.sequences});
  if (!program) return pass_on(program);
  if (auto tuned = tune_to_end(**program); !tuned) return pass_on(tuned);
  profiler.program_ = std::move(*program);
  return profiler;
}

Result<ProfiledStep> StepProfiler::decode(uint32_t sequences, uint32_t context, uint32_t repeat) {
  if (auto filled = fill_context(sequences, context); !filled) return pass_on(filled);
  return measure({sequences, 1, context}, repeat);
}

Result<ProfiledStep> StepProfiler::prompt(uint32_t tokens, uint32_t repeat) { return measure({1, tokens, 0}, repeat); }

Result<double> StepProfiler::decode_seconds(uint32_t sequences, uint32_t context, double seconds) {
  if (auto filled = fill_context(sequences, context); !filled) return pass_on(filled);
  return run_seconds({sequences, 1, context}, seconds);
}

Result<double> StepProfiler::run_seconds(const Shape& shape, double enough) {
  const StepInput step = input(shape);
  std::vector<double> seconds;
  double sum = 0;
  // The first ones find nothing prepared: each of the steps that may be in flight has recordings of its own.
  constexpr uint32_t kUnprepared = 2;
  for (uint32_t i = 0; i < kUnprepared + 2 || sum < enough; ++i) {
    const auto begin = std::chrono::steady_clock::now();
    if (auto ran = program_->run(step); !ran) return pass_on(ran);
    if (i < kUnprepared) continue;
    seconds.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
    sum += seconds.back();
  }
  return median({seconds.begin() + static_cast<ptrdiff_t>(seconds.size() / 2), seconds.end()});
}

/// States go on from whatever they were. K and V that were never written would be read from one page of zeros, which no
/// real cache is; a GPU reads what it has whatever it is.
Result<void> StepProfiler::fill_context(uint32_t sequences, uint32_t context) {
  if (model_->device().info().is_gpu) return {};
  const uint32_t each = std::max(1U, chunk_tokens_ / sequences);
  for (uint32_t done = 0; done < context; done += each) {
    auto ran = program_->run(input({sequences, std::min(each, context - done), done}));
    if (!ran) return pass_on(ran);
  }
  return {};
}

StepInput StepProfiler::input(const Shape& shape) {
  std::mt19937 random(shape.context + 1);
  std::uniform_int_distribution<int32_t> id(0, static_cast<int32_t>(model_->config().vocabulary) - 1);
  token_ids_.resize(size_t{shape.sequences} * shape.tokens);
  std::ranges::generate(token_ids_, [&] { return id(random); });
  sequences_.clear();
  logit_rows_.clear();
  for (uint32_t s = 0; s < shape.sequences; ++s) {
    sequences_.push_back({s * shape.tokens, shape.tokens, shape.context, block_tables_[s]});
    logit_rows_.push_back((s + 1) * shape.tokens - 1);
  }
  candidates_.assign(logit_rows_.size(), 1);
  return {token_ids_, sequences_, logit_rows_, candidates_};
}

Result<ProfiledStep> StepProfiler::measure(const Shape& shape, uint32_t repeat) {
  const StepInput step = input(shape);
  if (auto warm = program_->profile(step); !warm) return pass_on(warm);
  std::vector<StepProfile> profiles;
  std::vector<double> rests;
  for (uint32_t i = 0; i < repeat; ++i) {
    auto profile = program_->profile(step);
    if (!profile) return pass_on(profile);
    rests.push_back(profile->seconds -
                    std::reduce(profile->operation_seconds.begin(), profile->operation_seconds.end()));
    profiles.push_back(std::move(*profile));
  }
  ProfiledStep result = {.sequences = shape.sequences,
                         .tokens = shape.tokens,
                         .context = shape.context,
                         .seconds = std::max(median(rests), 0.0),
                         .operations = add_up(profiles, step)};
  for (const ProfiledOperation& operation : result.operations) result.seconds += operation.seconds;
  return result;
}

std::vector<ProfiledOperation> StepProfiler::add_up(const std::vector<StepProfile>& profiles,
                                                    const StepInput& input) const {
  const auto costs = operation_costs(model_->recording(), model_->device(), input);
  std::map<std::string, ProfiledOperation> by_name;
  for (size_t i = 0; i < costs.size(); ++i) {
    std::vector<double> seconds;
    seconds.reserve(profiles.size());
    for (const StepProfile& profile : profiles) seconds.push_back(profile.operation_seconds[i]);
    ProfiledOperation& sum = by_name[costs[i].name];
    sum.name = costs[i].name;
    ++sum.count;
    sum.seconds += median(seconds);
    sum.bytes += costs[i].bytes;
  }
  std::vector<ProfiledOperation> operations;
  operations.reserve(by_name.size());
  for (auto& [name, operation] : by_name) operations.push_back(std::move(operation));
  std::ranges::sort(operations, std::greater(), &ProfiledOperation::seconds);
  return operations;
}

}  // namespace hearth::app
