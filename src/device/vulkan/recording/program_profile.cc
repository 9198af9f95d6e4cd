#include <chrono>

#include "device/vulkan/recording/program.h"
#include "device/vulkan/recording/timestamps.h"

namespace hearth::vulkan {

/// `seconds`, where given, receives the time from the submit to its end.
Result<std::vector<DispatchTime>> VulkanProgram::measure(const StepInput& input, double* seconds) {
  if (in_flight_ > 0) return fail(ErrorCode::internal, "a profile was asked for while a step is in flight");
  if (auto all = await_all(); !all) return pass_on(all);
  const VolkDeviceTable& vk = gpu_.vk();
  Slot& slot = slots_[next_slot_];
  Bucket bucket = bucket_for(input);
  bucket.pieces = 1;
  bucket.attention_slices = 1;
  if (auto written = write_input(slot, input); !written) return pass_on(written);
  auto counted = statistics(bucket);
  if (!counted) return pass_on(counted);
  auto timestamps = Timestamps::create(gpu_, counted->dispatches + 1);
  if (!timestamps) return pass_on(timestamps);
  auto allocated = allocate_commands();
  if (!allocated) return pass_on(allocated);
  CommandRecorder commands(gpu_, pipelines_, *allocated, timestamps->pool());
  const auto run_once = [&]() -> Result<void> {
    const VkCommandBufferBeginInfo begin = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO};
    vk.vkBeginCommandBuffer(*allocated, &begin);
    timestamps->reset(*allocated);
    if (auto made = record_piece(slot, bucket, {.end = recording_.operations.size()}, commands); !made) return made;
    vk.vkEndCommandBuffer(*allocated);
    const auto start = std::chrono::steady_clock::now();
    if (auto submitted = gpu_.submit(*allocated, slot.fence); !submitted) return submitted;
    ++in_flight_;
    auto done = wait_for(slot);
    if (seconds != nullptr) *seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    return done;
  };
  auto ran = run_once();
  vk.vkFreeCommandBuffers(gpu_.device(), pool_, 1, &*allocated);
  if (!ran) return pass_on(ran);
  auto intervals = timestamps->intervals();
  if (!intervals) return pass_on(intervals);
  std::vector<DispatchTime> times;
  for (size_t i = 0; i < intervals->size(); ++i) {
    const Launch& launch = commands.launches()[i];
    times.push_back({std::string(name_of(launch.key.shader)), launch.groups, launch.operation, (*intervals)[i] * 1e6});
  }
  return times;
}

Result<StepProfile> VulkanProgram::profile(const StepInput& input) {
  StepProfile profile = {.operation_seconds = std::vector<double>(recording_.operations.size())};
  auto times = measure(input, &profile.seconds);
  if (!times) return pass_on(times);
  for (const DispatchTime& time : *times) profile.operation_seconds[time.operation] += time.microseconds * 1e-6;
  return profile;
}

}  // namespace hearth::vulkan
