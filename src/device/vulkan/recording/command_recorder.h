#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "device/vulkan/pipelines/pipelines.h"

namespace hearth::vulkan {

/// A range of device addresses that a dispatch reads or writes.
struct Access {
  VkDeviceAddress begin = 0;
  VkDeviceAddress end = 0;

  bool overlaps(const Access& other) const { return begin < other.end && other.begin < end; }
};

struct Groups {
  uint32_t x = 1, y = 1, z = 1;
};

/// Some of a launch's workgroups.
struct GroupRange {
  Groups first = {0, 0, 0}, count;
};

/// A recorded dispatch.
struct Launch {
  PipelineKey key;
  Groups groups;
  uint32_t operation = 0;  ///< of the recording
};

/// Records dispatches into a command buffer and puts a barrier before a dispatch exactly where it touches what was
/// written, or writes what was read, since the last barrier. The validation layer cannot see accesses through
/// addresses, so the ranges given here are all that stands between two dispatches.
class CommandRecorder {
 public:
  /// With `timestamps`, a query pool that was reset, timestamp 0 comes before the first dispatch, and dispatch n is
  /// followed by timestamp n + 1. Without `commands` it only lists what would be recorded, and makes no pipelines.
  CommandRecorder(const Gpu& gpu, Pipelines& pipelines, VkCommandBuffer commands,
                  VkQueryPool timestamps = VK_NULL_HANDLE)
      : gpu_(gpu), pipelines_(pipelines), commands_(commands), timestamps_(timestamps) {}

  /// `arguments` is one of the structures of shaders/layout.h.
  template <class Arguments>
  Result<void> dispatch(const PipelineKey& key, const Arguments& arguments, Groups groups,
                        std::span<const Access> reads, std::span<const Access> writes) {
    static_assert(sizeof(Arguments) <= Pipelines::kPushConstantBytes);
    return dispatch_bytes(key, &arguments, sizeof(Arguments), groups, reads, writes);
  }

  /// What is dispatched from now on is a part of this operation of the recording.
  void begin_operation(uint32_t index) { operation_ = index; }

  /// Of the launches that do an operation's work (matmuls and attention) only part `slice` of `slices` is recorded from
  /// now on, of what comes before them nothing behind the first part, of what follows nothing before the last: one
  /// operation over several submits.
  void take_slice(uint32_t slice, uint32_t slices) { slice_ = slice, slices_ = slices; }

  /// Everything before, in earlier submits too, has ended and is there for what follows.
  void join_earlier();

  /// What dispatches wrote is there for the host once the submit's fence is signalled.
  void show_to_host();

  /// Copies from a buffer that the host wrote before the submit to one that dispatches use, after everything before.
  void copy_from_host(VkBuffer from, VkBuffer to, std::span<const VkBufferCopy> regions);

  /// Copies from a buffer that dispatches wrote to one that the host reads, after everything before.
  void copy_to_host(VkBuffer from, VkBuffer to, std::span<const VkBufferCopy> regions);

  const std::vector<Launch>& launches() const { return launches_; }
  uint32_t dispatches() const { return static_cast<uint32_t>(launches_.size()); }
  uint32_t barriers() const { return barriers_; }

 private:
  Result<void> dispatch_bytes(const PipelineKey& key, const void* arguments, uint32_t bytes, Groups groups,
                              std::span<const Access> reads, std::span<const Access> writes);
  void timestamp(uint32_t number);
  std::optional<GroupRange> slice_of(const PipelineKey& key, Groups groups) const;
  bool conflicts(std::span<const Access> reads, std::span<const Access> writes) const;
  void copy(VkBuffer from, VkBuffer to, std::span<const VkBufferCopy> regions);
  void barrier(VkPipelineStageFlags2 from, VkAccessFlags2 written, VkPipelineStageFlags2 to, VkAccessFlags2 used);

  const Gpu& gpu_;
  Pipelines& pipelines_;
  VkCommandBuffer commands_;
  VkPipeline bound_ = VK_NULL_HANDLE;
  std::vector<Access> read_, written_;  // since the last barrier
  VkQueryPool timestamps_;
  std::vector<Launch> launches_;
  uint32_t operation_ = 0;
  uint32_t slice_ = 0, slices_ = 1;
  uint32_t barriers_ = 0;
};

}  // namespace hearth::vulkan
