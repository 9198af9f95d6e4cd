#include "device/vulkan/measuring/trial_timer.h"

#include <algorithm>
#include <chrono>
#include <optional>
#include <random>
#include <set>

#include "device/operation_uses.h"
#include "device/vulkan/memory/upload.h"
#include "device/vulkan/recording/timestamps.h"

namespace hearth::vulkan {
namespace {

constexpr uint64_t kResultBytes = 4 << 20;  ///< of float32 results that are compared, at most

}  // namespace

/// A trial's commands, recorded once and run again and again.
struct TrialTimer::TimedTrial {
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

Result<TrialTimer> TrialTimer::create(VulkanProgram& program, Pipelines& pipelines) {
  TrialTimer timer(program, pipelines);
  Gpu& gpu = program.gpu();
  auto results = Buffer::create(gpu, 2 * kResultBytes, Placement::host_cached, MemoryOwner::staging);
  if (!results) return pass_on(results);
  timer.results_ = std::move(*results);
  // Floats of either sign between 0.0078 and 0.03.
  constexpr uint64_t kBytes = 4 << 20;
  std::mt19937 random(1);
  std::vector<uint32_t> words(kBytes / 4);
  for (uint32_t& word : words) word = 0x3c000000 | (random() & 0x80ffffff);
  auto buffer = Buffer::create(gpu, kBytes, Placement::device, MemoryOwner::staging);
  if (!buffer) return pass_on(buffer);
  timer.inputs_ = std::move(*buffer);
  Uploader uploader(gpu, program.weights().pool());
  auto written = uploader.write({&timer.inputs_, 0, kBytes}, 0, std::as_bytes(std::span(words)));
  if (written) written = uploader.finish();
  if (!written) return pass_on(written);
  return timer;
}

/// Other trials have left what they would in the inputs' places: their results as anything.
Result<void> TrialTimer::record_inputs(const MatmulTrial& trial, VkCommandBuffer commands) {
  const Recording& recording = program_->recording();
  const Activations& activations = program_->activations();
  const Bucket bucket = program_->bucket_of_rows(trial.tokens);
  CommandRecorder untimed(program_->gpu(), *pipelines_, commands);
  untimed.join_earlier();
  std::set<uint64_t> filled;
  for (const uint32_t operation : trial.operations) {
    const TensorId in = product_of(recording.operations[operation])->in;
    const uint64_t place = activations.place(in).floats;
    if (!filled.insert(place).second) continue;
    const bool logits = recording.tensors[in.index].rows == Rows::logits;
    const uint64_t rows = logits ? bucket.logit_rows : bucket.tokens;
    const uint64_t bytes = rows * recording.tensors[in.index].width * 4;
    std::vector<VkBufferCopy> regions;
    for (uint64_t at = 0; at < bytes; at += inputs_.bytes()) {
      regions.push_back({.dstOffset = place + at, .size = std::min(bytes - at, inputs_.bytes())});
    }
    untimed.copy_from_host(inputs_.handle(), activations.buffer().handle(), regions);
  }
  for (const uint32_t operation : trial.operations) {
    const TensorId in = product_of(recording.operations[operation])->in;
    if (filled.erase(activations.place(in).floats) == 0) continue;
    auto done = program_->record_input_of(operation, trial.tokens, trial.tuning, untimed);
    if (!done) return done;
  }
  return {};
}

/// Where the first rows of the last operation's result lie, as many as the host takes.
TrialTimer::ResultPlace TrialTimer::result_place(const MatmulTrial& trial) const {
  const Recording& recording = program_->recording();
  const TensorId tensor = product_of(recording.operations[trial.operations.back()])->out;
  const ActivationPlace& place = program_->activations().place(tensor);
  const uint64_t width = recording.tensors[tensor.index].width;
  const uint64_t rows = std::clamp<uint64_t>(kResultBytes / (width * 4), 1, trial.tokens);
  const uint64_t values = std::min(rows * width, kResultBytes / 4) / 32 * 32;
  return {place.needs_bytes, place.needs_bytes ? place.quants : place.floats, place.pairs, values};
}

Result<void> TrialTimer::record_timed(const MatmulTrial& trial, TimedTrial& timed) {
  const Gpu& gpu = program_->gpu();
  auto listed = program_->launches(trial.operations, trial.tokens, trial.tuning);
  if (!listed) return pass_on(listed);
  auto timestamps = Timestamps::create(gpu, static_cast<uint32_t>(listed->size()) + 1);
  if (!timestamps) return pass_on(timestamps);
  auto allocated = program_->allocate_commands();
  if (!allocated) return pass_on(allocated);
  timed.tokens = trial.tokens;
  timed.commands = *allocated;
  timed.timestamps = std::move(*timestamps);
  timed.launches = std::move(*listed);
  const VkCommandBufferBeginInfo begin = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO};
  const VkResult begun = gpu.vk().vkBeginCommandBuffer(timed.commands, &begin);
  if (begun != VK_SUCCESS) return fail_vulkan(begun, "recording matmuls");
  timed.timestamps->reset(timed.commands);
  // What a trial fails to write must not be another one's result.
  const ResultPlace place = result_place(trial);
  const uint64_t bytes = place.values * (place.bytes ? 1 : 4);
  const VkBuffer from = program_->activations().buffer().handle();
  gpu.vk().vkCmdFillBuffer(timed.commands, from, place.offset, bytes, UINT32_MAX);
  if (auto done = record_inputs(trial, timed.commands); !done) return done;
  CommandRecorder commands(gpu, *pipelines_, timed.commands, timed.timestamps->pool());
  commands.join_earlier();
  if (auto done = program_->record_operations(trial.operations, trial.tokens, trial.tuning, commands); !done)
    return done;
  std::vector<VkBufferCopy> regions = {{.srcOffset = place.offset, .size = bytes}};
  if (place.bytes) {
    regions.push_back({.srcOffset = place.pairs, .dstOffset = kResultBytes, .size = place.values / 32 * 8});
  }
  commands.copy_to_host(from, results_.handle(), regions);
  const VkResult ended = gpu.vk().vkEndCommandBuffer(timed.commands);
  return ended == VK_SUCCESS ? Result<void>{} : fail_vulkan(ended, "recording matmuls");
}

Result<void> TrialTimer::run_timed(TimedTrial& timed, const ResultPlace& place) {
  if (auto ran = program_->run_commands(timed.commands, timed.tokens, "timing matmuls"); !ran) return ran;
  auto seconds = timed.timestamps->intervals();
  if (!seconds) return pass_on(seconds);
  if (!timed.least.empty()) {
    std::ranges::transform(timed.least, *seconds, timed.least.begin(),
                           [](double a, double b) { return std::min(a, b); });
    return {};
  }
  timed.least = std::move(*seconds);
  const auto* pairs = reinterpret_cast<const float*>(results_.mapped() + kResultBytes);
  timed.result = place.bytes ? result_of_bytes({reinterpret_cast<const int8_t*>(results_.mapped()), place.values},
                                               {pairs, place.values / 32 * 2})
                             : result_of_floats({reinterpret_cast<const float*>(results_.mapped()), place.values});
  return {};
}

Result<std::set<PipelineKey>> TrialTimer::pipelines_of(VulkanProgram& program, const MatmulTrial& trial) {
  auto listed = program.launches(trial.operations, trial.tokens, trial.tuning);
  if (!listed) return pass_on(listed);
  std::set<PipelineKey> keys;
  for (const Launch& launch : *listed) keys.insert(launch.key);
  std::set<uint64_t> places;
  for (const uint32_t operation : trial.operations) {
    const TensorId in = product_of(program.recording().operations[operation])->in;
    if (!places.insert(program.activations().place(in).floats).second) continue;
    listed = program.launches_of_input(operation, trial.tokens, trial.tuning);
    if (!listed) return pass_on(listed);
    for (const Launch& launch : *listed) keys.insert(launch.key);
  }
  return keys;
}

Result<std::vector<TrialTime>> TrialTimer::time(std::span<const MatmulTrial> trials, uint32_t rounds, double seconds,
                                                const IsInterrupted& is_interrupted) {
  if (!program_->is_idle()) return fail(ErrorCode::internal, "matmuls were to be timed while a step is in flight");
  std::vector<TimedTrial> timed(trials.size());
  Result<void> done;
  for (size_t i = 0; i < trials.size() && done; ++i) done = record_timed(trials[i], timed[i]);
  auto begin = std::chrono::steady_clock::now();
  const auto elapsed = [&] { return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count(); };
  bool goes_on = done.has_value();
  for (uint32_t round = 0; goes_on && (round < rounds || elapsed() < seconds); ++round) {
    if (round == 1) begin = std::chrono::steady_clock::now();  // the first one compares, with the device idle
    for (size_t i = 0; i < trials.size() && goes_on; ++i) {
      done = run_timed(timed[i], result_place(trials[i]));
      goes_on = done && !is_interrupted();
    }
  }
  for (const TimedTrial& trial : timed) {
    if (trial.commands != VK_NULL_HANDLE) program_->free_commands(trial.commands);
  }
  if (!done) return pass_on(done);
  std::vector<TrialTime> times;
  if (!goes_on) return times;
  for (const TimedTrial& trial : timed) {
    times.push_back({trial.median_of_operations(), agree(timed.front().result, trial.result)});
  }
  return times;
}

}  // namespace hearth::vulkan
