#include <algorithm>
#include <chrono>
#include <random>
#include <set>

#include "device/operation_uses.h"
#include "device/vulkan/program.h"
#include "device/vulkan/upload.h"

namespace hearth::vulkan {
/// A trial's commands, recorded once and run again and again.
struct VulkanProgram::TimedTrial {
  uint32_t tokens = 1;
  VkCommandBuffer commands = VK_NULL_HANDLE;
  std::optional<Timestamps> timestamps = {};
  std::vector<Launch> launches = {};
  std::vector<double> least = {};  ///< of each launch, so far
  MatmulResult result = {};

  /// Seconds of one operation, which may be several launches.
  double median_of_operations() const {
    std::vector<double> sums;
    for (size_t i = 0; i < launches.size(); ++i) {
      if (i == 0 || launches[i].operation != launches[i - 1].operation) sums.push_back(0);
      sums.back() += least[i];
    }
    std::ranges::sort(sums);
    return sums[sums.size() / 2];
  }
};

Result<void> VulkanProgram::prepare_trials() {
  // Floats of either sign between 0.0078 and 0.03.
  constexpr uint64_t kBytes = 4 << 20;
  std::mt19937 random(1);
  std::vector<uint32_t> words(kBytes / 4);
  for (uint32_t& word : words) word = 0x3c000000 | (random() & 0x80ffffff);
  auto buffer = Buffer::create(gpu_, kBytes, Placement::device, MemoryOwner::staging);
  if (!buffer) return pass_on(buffer);
  trial_inputs_ = std::move(*buffer);
  Uploader uploader(gpu_);
  auto written = uploader.write({&trial_inputs_, 0, kBytes}, 0, std::as_bytes(std::span(words)));
  return written ? uploader.finish() : written;
}

RecorderContext VulkanProgram::trial_context(const MatmulTunings& tunings) {
  Slot& slot = slots_[next_slot_];
  return {gpu_,   tuning_,      tunings,   attention_, recording_, weights_,
          cache_, activations_, slot.step, ropes_,     scratch_,   candidate_places_};
}

/// Other trials have left what they would in the inputs' places: their results as anything.
Result<void> VulkanProgram::record_trial_inputs(const MatmulTrial& trial, VkCommandBuffer commands) {
  CommandRecorder untimed(gpu_, pipelines_, commands);
  untimed.join_earlier();
  std::set<uint64_t> filled;
  for (const uint32_t operation : trial.operations) {
    const TensorId in = product_of(recording_.operations[operation])->in;
    const uint64_t place = activations_.place(in).floats;
    if (!filled.insert(place).second) continue;
    const bool logits = recording_.tensors[in.index].rows == Rows::logits;
    const uint64_t rows = logits ? std::min(trial.tokens, logit_rows_) : trial.tokens;
    const uint64_t bytes = rows * recording_.tensors[in.index].width * 4;
    std::vector<VkBufferCopy> regions;
    for (uint64_t at = 0; at < bytes; at += trial_inputs_.bytes()) {
      regions.push_back({.dstOffset = place + at, .size = std::min(bytes - at, trial_inputs_.bytes())});
    }
    untimed.copy_from_host(trial_inputs_.handle(), activations_.buffer().handle(), regions);
  }
  const MatmulTunings tunings(trial.tuning);
  const RecorderContext context = trial_context(tunings);
  StepRecorder recorder(context, bucket_of_trial(trial), untimed);
  for (const uint32_t operation : trial.operations) {
    const TensorId in = product_of(recording_.operations[operation])->in;
    if (filled.erase(activations_.place(in).floats) == 0) continue;
    if (auto done = recorder.record_input_of(operation); !done) return done;
  }
  return {};
}

/// Logits have rows of their own count, all else is the same for both kinds of rows.
Bucket VulkanProgram::bucket_of_trial(const MatmulTrial& trial) const {
  return {.tokens = trial.tokens, .logit_rows = std::min(trial.tokens, logit_rows_)};
}

Result<void> VulkanProgram::record_trial(const MatmulTrial& trial, CommandRecorder& commands) {
  const MatmulTunings tunings(trial.tuning);
  const RecorderContext context = trial_context(tunings);
  StepRecorder recorder(context, bucket_of_trial(trial), commands, true);
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

/// Where the first rows of the last operation's result lie, as many as the host takes.
VulkanProgram::ResultPlace VulkanProgram::result_place(const MatmulTrial& trial) const {
  const TensorId tensor = product_of(recording_.operations[trial.operations.back()])->out;
  const ActivationPlace& place = activations_.place(tensor);
  const uint64_t width = recording_.tensors[tensor.index].width;
  const uint64_t rows = std::clamp<uint64_t>(kTrialResultBytes / (width * 4), 1, trial.tokens);
  const uint64_t values = std::min(rows * width, kTrialResultBytes / 4) / 32 * 32;
  return {place.needs_bytes, place.needs_bytes ? place.quants : place.floats, place.pairs, values};
}

Result<void> VulkanProgram::record_timed(const MatmulTrial& trial, Pipelines& pipelines, const Buffer& results,
                                         TimedTrial& timed) {
  auto listed = launches(trial);
  if (!listed) return pass_on(listed);
  auto timestamps = Timestamps::create(gpu_, static_cast<uint32_t>(listed->size()) + 1);
  if (!timestamps) return pass_on(timestamps);
  auto allocated = allocate_commands();
  if (!allocated) return pass_on(allocated);
  timed.tokens = trial.tokens;
  timed.commands = *allocated;
  timed.timestamps = std::move(*timestamps);
  timed.launches = std::move(*listed);
  const VkCommandBufferBeginInfo begin = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO};
  const VkResult begun = gpu_.vk().vkBeginCommandBuffer(timed.commands, &begin);
  if (begun != VK_SUCCESS) return fail_vulkan(begun, "recording matmuls");
  timed.timestamps->reset(timed.commands);
  // What a trial fails to write must not be another one's result.
  const ResultPlace place = result_place(trial);
  const uint64_t bytes = place.values * (place.bytes ? 1 : 4);
  const VkBuffer from = activations_.buffer().handle();
  gpu_.vk().vkCmdFillBuffer(timed.commands, from, place.offset, bytes, UINT32_MAX);
  if (auto done = record_trial_inputs(trial, timed.commands); !done) return done;
  CommandRecorder commands(gpu_, pipelines, timed.commands, timed.timestamps->pool());
  commands.join_earlier();
  if (auto done = record_trial(trial, commands); !done) return done;
  std::vector<VkBufferCopy> regions = {{.srcOffset = place.offset, .size = bytes}};
  if (place.bytes) {
    regions.push_back({.srcOffset = place.pairs, .dstOffset = kTrialResultBytes, .size = place.values / 32 * 8});
  }
  commands.copy_to_host(from, results.handle(), regions);
  const VkResult ended = gpu_.vk().vkEndCommandBuffer(timed.commands);
  return ended == VK_SUCCESS ? Result<void>{} : fail_vulkan(ended, "recording matmuls");
}

Result<void> VulkanProgram::run_timed(TimedTrial& timed, const ResultPlace& place, const Buffer& results) {
  Slot& slot = slots_[next_slot_];
  slot.step.write_counts(timed.tokens, std::min(timed.tokens, logit_rows_));
  if (auto submitted = gpu_.submit(timed.commands, slot.fence); !submitted) return submitted;
  if (auto waited = gpu_.wait(slot.fence, "timing matmuls"); !waited) return waited;
  auto seconds = timed.timestamps->intervals();
  if (!seconds) return pass_on(seconds);
  if (!timed.least.empty()) {
    std::ranges::transform(timed.least, *seconds, timed.least.begin(),
                           [](double a, double b) { return std::min(a, b); });
    return {};
  }
  timed.least = std::move(*seconds);
  const auto* pairs = reinterpret_cast<const float*>(results.mapped() + kTrialResultBytes);
  timed.result = place.bytes ? result_of_bytes({reinterpret_cast<const int8_t*>(results.mapped()), place.values},
                                               {pairs, place.values / 32 * 2})
                             : result_of_floats({reinterpret_cast<const float*>(results.mapped()), place.values});
  return {};
}

Result<std::vector<TrialTime>> VulkanProgram::time(std::span<const MatmulTrial> trials, uint32_t rounds, double seconds,
                                                   Pipelines& pipelines, const Buffer& results) {
  if (in_flight_ > 0) return fail(ErrorCode::internal, "matmuls were to be timed while a step is in flight");
  std::vector<TimedTrial> timed(trials.size());
  Result<void> done;
  for (size_t i = 0; i < trials.size() && done; ++i) done = record_timed(trials[i], pipelines, results, timed[i]);
  auto begin = std::chrono::steady_clock::now();
  const auto elapsed = [&] { return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count(); };
  for (uint32_t round = 0; done && (round < rounds || elapsed() < seconds); ++round) {
    if (round == 1) begin = std::chrono::steady_clock::now();  // the first one compares, with the device idle
    for (size_t i = 0; i < trials.size() && done; ++i) done = run_timed(timed[i], result_place(trials[i]), results);
  }
  for (const TimedTrial& trial : timed) {
    if (trial.commands != VK_NULL_HANDLE) gpu_.vk().vkFreeCommandBuffers(gpu_.device(), pool_, 1, &trial.commands);
  }
  if (!done) return pass_on(done);
  std::vector<TrialTime> times;
  for (const TimedTrial& trial : timed) {
    times.push_back({trial.median_of_operations(), agree(timed.front().result, trial.result)});
  }
  return times;
}

}  // namespace hearth::vulkan
