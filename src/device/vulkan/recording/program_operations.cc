// Operations by themselves, in the memory of a program's steps.
#include <algorithm>

#include "device/vulkan/recording/program.h"

namespace hearth::vulkan {

/// What a recorder in the place of the next step refers to.
RecorderContext VulkanProgram::context(const MatmulTunings& matmuls) {
  Slot& slot = slots_[next_slot_];
  return {gpu_,   tuning_,      matmuls,   attention_, recording_, weights_,
          cache_, activations_, slot.step, ropes_,     scratch_,   candidate_places_};
}

/// Logits have rows of their own count, all else is the same for both kinds of rows.
Bucket VulkanProgram::bucket_of_rows(uint32_t rows) const {
  return {.tokens = rows, .logit_rows = std::min(rows, logit_rows_)};
}

Result<void> VulkanProgram::record_operations(std::span<const uint32_t> operations, uint32_t rows,
                                              const Tuning& matmuls, CommandRecorder& commands) {
  const MatmulTunings tunings(matmuls);
  const RecorderContext context = this->context(tunings);
  StepRecorder recorder(context, bucket_of_rows(rows), commands, true);
  for (const uint32_t operation : operations) {
    if (auto done = recorder.record(operation, operation + 1); !done) return done;
  }
  return {};
}

Result<std::vector<Launch>> VulkanProgram::launches(std::span<const uint32_t> operations, uint32_t rows,
                                                    const Tuning& matmuls) {
  CommandRecorder commands(gpu_, pipelines_, VK_NULL_HANDLE);
  if (auto listed = record_operations(operations, rows, matmuls, commands); !listed) return pass_on(listed);
  return commands.launches();
}

Result<void> VulkanProgram::record_input_of(uint32_t operation, uint32_t rows, const Tuning& matmuls,
                                            CommandRecorder& commands) {
  const MatmulTunings tunings(matmuls);
  const RecorderContext context = this->context(tunings);
  return StepRecorder(context, bucket_of_rows(rows), commands).record_input_of(operation);
}

Result<std::vector<Launch>> VulkanProgram::launches_of_input(uint32_t operation, uint32_t rows, const Tuning& matmuls) {
  CommandRecorder commands(gpu_, pipelines_, VK_NULL_HANDLE);
  if (auto listed = record_input_of(operation, rows, matmuls, commands); !listed) return pass_on(listed);
  return commands.launches();
}

void VulkanProgram::free_commands(VkCommandBuffer commands) const {
  gpu_.vk().vkFreeCommandBuffers(gpu_.device(), pool_, 1, &commands);
}

Result<void> VulkanProgram::run_commands(VkCommandBuffer commands, uint32_t rows, const std::string& what) {
  if (in_flight_ > 0) return fail(ErrorCode::internal, what + " was asked for while a step is in flight");
  Slot& slot = slots_[next_slot_];
  const Bucket bucket = bucket_of_rows(rows);
  slot.step.write_counts(bucket.tokens, bucket.logit_rows);
  if (auto submitted = gpu_.submit(commands, slot.fence); !submitted) return submitted;
  return gpu_.wait(slot.fence, what);
}

}  // namespace hearth::vulkan
