#include "device/split/split_program.h"

#include <algorithm>
#include <functional>
#include <utility>

namespace hearth::split {

StepInput SplitProgram::input_of(size_t stage, const StepInput& input) {
  const StageRecording& part = stages_[stage].part;
  activations_.clear();
  for (const StageRecording::Source& source : part.sources) {
    activations_.push_back(outputs_[source.stage].activations[source.output]);
  }
  StepInput own = {.token_ids = input.token_ids, .sequences = input.sequences, .activations = activations_};
  if (part.uses_logit_rows) own.logit_rows = input.logit_rows;
  if (part.recording.has_logits) own.candidates = input.candidates;
  return own;
}

Result<void> SplitProgram::submit(const StepInput& input) {
  if (in_flight_) return fail(ErrorCode::internal, "a step was submitted while another is in flight");
  if (auto submitted = stages_[0].program->submit(input_of(0, input)); !submitted) return submitted;
  in_flight_ = input;
  return {};
}

Result<StepOutput> SplitProgram::wait() {
  if (!in_flight_) return fail(ErrorCode::internal, "no step is in flight");
  const StepInput input = *std::exchange(in_flight_, std::nullopt);
  bool waited = false;
  for (size_t s = 0; s < stages_.size(); ++s) {
    if (s > 0) {
      if (auto submitted = stages_[s].program->submit(input_of(s, input)); !submitted) return pass_on(submitted);
    }
    auto output = stages_[s].program->wait();
    if (!output) return output;
    outputs_[s] = *output;
    waited |= output->waited_for_weights;
  }
  StepOutput last = outputs_.back();
  last.waited_for_weights = waited;
  return last;
}

Result<StepProfile> SplitProgram::profile(const StepInput& input) {
  if (in_flight_) return fail(ErrorCode::internal, "a profile was asked for while a step is in flight");
  StepProfile whole = {.operation_seconds = std::vector<double>(operations_)};
  for (size_t s = 0; s < stages_.size(); ++s) {
    Stage& stage = stages_[s];
    auto profile = stage.program->profile(input_of(s, input));
    if (!profile) return profile;
    whole.seconds += profile->seconds;
    for (size_t i = 0; i < stage.part.operations.size(); ++i) {
      whole.operation_seconds[stage.part.operations[i]] += profile->operation_seconds[i];
    }
    if (s + 1 == stages_.size()) break;
    auto output = stage.program->run(input_of(s, input));
    if (!output) return pass_on(output);
    outputs_[s] = *output;
  }
  return whole;
}

Result<std::vector<OperationChoice>> SplitProgram::choices() {
  std::vector<OperationChoice> all;
  for (const Stage& stage : stages_) {
    auto* explained = dynamic_cast<ExplainedProgram*>(stage.program.get());
    if (explained == nullptr) continue;
    auto some = explained->choices();
    if (!some) return some;
    all.insert(all.end(), some->begin(), some->end());
  }
  return all;
}

std::vector<double> SplitProgram::expected_seconds(std::span<const uint32_t> tokens) {
  std::vector<double> sum(tokens.size());
  for (const Stage& stage : stages_) {
    const std::vector<double> seconds = stage.program->expected_seconds(tokens);
    if (seconds.empty()) return {};
    std::ranges::transform(sum, seconds, sum.begin(), std::plus());
  }
  return sum;
}

Result<bool> SplitProgram::tune(const std::function<bool()>& is_interrupted) {
  for (const Stage& stage : stages_) {
    auto more = stage.program->tune(is_interrupted);
    if (!more || *more) return more;
  }
  return false;
}

std::vector<DeviceMemoryUse> SplitProgram::memory_use() const {
  std::vector<DeviceMemoryUse> all;
  for (const Stage& stage : stages_) std::ranges::move(stage.program->memory_use(), std::back_inserter(all));
  return all;
}

std::vector<BufferPoolStatistics> SplitProgram::buffer_pools() const {
  std::vector<BufferPoolStatistics> all;
  for (const Stage& stage : stages_) {
    for (const BufferPoolStatistics& pool : stage.program->buffer_pools()) {
      auto same = std::ranges::find(all, pool.buffer_bytes, &BufferPoolStatistics::buffer_bytes);
      if (same == all.end()) {
        all.push_back(pool);
        continue;
      }
      same->capacity += pool.capacity;
      same->allocated += pool.allocated;
      same->in_use += pool.in_use;
      same->most_in_use += pool.most_in_use;
      same->taken += pool.taken;
    }
  }
  return all;
}

}  // namespace hearth::split
