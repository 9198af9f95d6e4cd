// Steps of a program whose weights are still being written.
#include <utility>

#include "device/operation_uses.h"
#include "device/vulkan/recording/program.h"

namespace hearth::vulkan {

void VulkanProgram::await_weights() {
  awaited_ = AwaitedWeights(recording_, weights_.arrival());
  is_awaiting_ = true;
}

/// What the rows hold decides how operations are recorded.
void VulkanProgram::settle(size_t first, size_t end) {
  for (size_t i = first; i < end; ++i) {
    for (const MatrixId matrix : matrices_of(recording_.operations[i])) weights_.settle(matrix);
  }
}

Result<void> VulkanProgram::await_all() {
  if (!is_awaiting_) return {};
  for (size_t i = 0; i < recording_.operations.size(); ++i) {
    if (auto came = awaited_.wait_for(i); !came) return came;
  }
  weights_.settle_all();
  is_awaiting_ = false;
  return {};
}

/// What can be handed over of `piece` from operation `first` on, as soon as that is something.
Result<StepPiece> VulkanProgram::await_piece(const StepPiece& piece, size_t first) {
  if (auto came = awaited_.wait_for(first); !came) return pass_on(came);
  StepPiece part = piece;
  part.first = first;
  part.end = awaited_.ready_until(first + 1, piece.end);
  settle(part.first, part.end);
  return part;
}

Result<void> VulkanProgram::submit_arriving(Slot& slot, const Bucket& bucket) {
  if (!awaited_.any()) {
    if (auto all = await_all(); !all) return all;
    return submit_recorded(slot, bucket);
  }
  const auto submit_parts = [&]() -> Result<void> {
    for (const StepPiece& piece : cut(bucket)) {
      for (size_t first = piece.first; first < piece.end;) {
        auto part = await_piece(piece, first);
        if (!part) return pass_on(part);
        auto commands = allocate_commands();
        if (!commands) return pass_on(commands);
        slot.passing.push_back(*commands);
        if (auto made = record_one(slot, bucket, *part, *commands); !made) return made;
        const VkFence fence = part->ends(recording_) ? slot.fence : VK_NULL_HANDLE;
        if (auto submitted = gpu_.submit(*commands, fence); !submitted) return submitted;
        first = part->end;
      }
    }
    return {};
  };
  auto done = submit_parts();
  if (done) return done;
  // What is on its way uses memory and commands that the next step takes.
  gpu_.vk().vkDeviceWaitIdle(gpu_.device());
  for (const VkCommandBuffer commands : std::exchange(slot.passing, {})) free_commands(commands);
  return done;
}

}  // namespace hearth::vulkan
