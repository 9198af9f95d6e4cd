#include <algorithm>

#include "device/vulkan/program.h"
#include "device/vulkan/timestamps.h"

namespace hearth::vulkan {
namespace {

/// A trial's commands, recorded once and run again and again.
struct RecordedTrial {
  VkCommandBuffer commands = VK_NULL_HANDLE;
  Timestamps timestamps;
  std::vector<Launch> launches;
  std::vector<double> least;  ///< of each launch, so far
};

/// Seconds of one operation: an operation may be several launches.
double median_of_operations(const RecordedTrial& trial) {
  std::vector<double> sums;
  for (size_t i = 0; i < trial.launches.size(); ++i) {
    if (i == 0 || trial.launches[i].operation != trial.launches[i - 1].operation) sums.push_back(0);
    sums.back() += trial.least[i];
  }
  std::ranges::sort(sums);
  return sums[sums.size() / 2];
}

}  // namespace

Result<void> VulkanProgram::record_trial(const MatmulTrial& trial, CommandRecorder& commands) {
  Slot& slot = slots_[next_slot_];
  const MatmulTunings tunings(trial.tuning);
  const StepContext context = {gpu_,   tuning_,      tunings,   attention_, recording_, weights_,
                               cache_, activations_, slot.step, ropes_,     scratch_,   candidate_places_};
  // Logits have rows of their own count, all else is the same for both kinds of rows.
  const Bucket bucket = {.tokens = trial.tokens, .logit_rows = std::min(trial.tokens, logit_rows_)};
  StepRecorder recorder(context, bucket, commands);
  for (const uint32_t operation : trial.operations) {
    if (auto done = recorder.record(operation, operation + 1); !done) return done;
  }
  return {};
}

Result<std::vector<Launch>> VulkanProgram::launches(const MatmulTrial& trial) {
  CommandRecorder commands(gpu_, pipelines_, VK_NULL_HANDLE);
  if (auto listed = record_trial(trial, commands); !listed) return pass_on(listed);
  return commands.launches();
}

Result<std::vector<double>> VulkanProgram::time(std::span<const MatmulTrial> trials, uint32_t repeats,
                                                Pipelines& pipelines) {
  if (in_flight_ > 0) return fail(ErrorCode::internal, "matmuls were to be timed while a step is in flight");
  const VolkDeviceTable& vk = gpu_.vk();
  const VkFence fence = slots_[next_slot_].fence;
  std::vector<RecordedTrial> recorded;
  const auto record = [&](const MatmulTrial& trial) -> Result<void> {
    auto listed = launches(trial);
    if (!listed) return pass_on(listed);
    auto timestamps = Timestamps::create(gpu_, static_cast<uint32_t>(listed->size()) + 1);
    if (!timestamps) return pass_on(timestamps);
    auto allocated = allocate_commands();
    if (!allocated) return pass_on(allocated);
    recorded.push_back({*allocated, std::move(*timestamps), std::move(*listed), {}});
    const VkCommandBufferBeginInfo begin = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO};
    vk.vkBeginCommandBuffer(*allocated, &begin);
    recorded.back().timestamps.reset(*allocated);
    CommandRecorder commands(gpu_, pipelines, *allocated, recorded.back().timestamps.pool());
    commands.join_earlier();
    if (auto done = record_trial(trial, commands); !done) return done;
    vk.vkEndCommandBuffer(*allocated);
    return {};
  };
  const auto run = [&](RecordedTrial& trial, uint32_t tokens) -> Result<void> {
    slots_[next_slot_].step.write_counts(tokens, std::min(tokens, logit_rows_));
    if (auto submitted = gpu_.submit(trial.commands, fence); !submitted) return submitted;
    if (auto waited = gpu_.wait(fence, "timing matmuls"); !waited) return waited;
    auto seconds = trial.timestamps.intervals();
    if (!seconds) return pass_on(seconds);
    if (trial.least.empty()) trial.least = *seconds;
    std::ranges::transform(trial.least, *seconds, trial.least.begin(),
                           [](double a, double b) { return std::min(a, b); });
    return {};
  };
  Result<void> result;
  for (const MatmulTrial& trial : trials) {
    if (result) result = record(trial);
  }
  for (uint32_t repeat = 0; repeat < repeats; ++repeat) {
    for (size_t i = 0; i < trials.size() && result; ++i) result = run(recorded[i], trials[i].tokens);
  }
  for (const RecordedTrial& trial : recorded) vk.vkFreeCommandBuffers(gpu_.device(), pool_, 1, &trial.commands);
  if (!result) return pass_on(result);
  std::vector<double> seconds;
  for (const RecordedTrial& trial : recorded) seconds.push_back(median_of_operations(trial));
  return seconds;
}

}  // namespace hearth::vulkan
