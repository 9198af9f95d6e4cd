#include "device/vulkan/recording/command_recorder.h"

#include <algorithm>

namespace hearth::vulkan {
namespace {

bool any_overlap(std::span<const Access> a, std::span<const Access> b) {
  return std::ranges::any_of(
      a, [&](const Access& x) { return std::ranges::any_of(b, [&](const Access& y) { return x.overlaps(y); }); });
}

/// Those that may take seconds on a small GPU; their workgroups may run in any order and at any time.
bool does_the_work(Shader shader) {
  switch (shader) {
    case Shader::linear_few:
    case Shader::linear_many:
    case Shader::linear_matrix:
    case Shader::linear_half_matrix:
    case Shader::linear_decoded_matrix:
    case Shader::linear_workgroup_matrix:
    case Shader::linear_fragments:
    case Shader::gate_up_few:
    case Shader::gate_up_many:
    case Shader::gate_up_matrix:
    case Shader::gate_up_fragments:
    case Shader::gate_up_half_matrix:
    case Shader::gate_up_decoded_matrix:
    case Shader::gate_up_workgroup_matrix:
    case Shader::attention_few:
    case Shader::attention_many:
    case Shader::attention_matrix:
      return true;
    default:
      return false;
  }
}

}  // namespace

/// Nothing where none of the launch is in this part.
std::optional<GroupRange> CommandRecorder::slice_of(const PipelineKey& key, Groups groups) const {
  GroupRange range = {.count = groups};
  if (slices_ == 1) return range;
  if (!does_the_work(key.shader)) {
    const bool is_before =
        key.shader == Shader::split_floats || key.shader == Shader::halve_bytes || key.shader == Shader::make_fragments;
    const uint32_t own_slice = is_before ? 0 : slices_ - 1;  // before the work, or behind it
    return slice_ == own_slice ? std::optional(range) : std::nullopt;
  }
  const uint32_t most = std::max({groups.x, groups.y, groups.z});
  auto member = groups.x == most ? &Groups::x : groups.y == most ? &Groups::y : &Groups::z;
  const auto begin_of = [&](uint64_t slice) { return static_cast<uint32_t>(most * slice / slices_); };
  range.first.*member = begin_of(slice_);
  range.count.*member = begin_of(slice_ + 1) - begin_of(slice_);
  return range.count.*member > 0 ? std::optional(range) : std::nullopt;
}

bool CommandRecorder::conflicts(std::span<const Access> reads, std::span<const Access> writes) const {
  return any_overlap(reads, written_) || any_overlap(writes, written_) || any_overlap(writes, read_);
}

void CommandRecorder::barrier(VkPipelineStageFlags2 from, VkAccessFlags2 written, VkPipelineStageFlags2 to,
                              VkAccessFlags2 used) {
  const VkMemoryBarrier2 memory = {.sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER_2,
                                   .srcStageMask = from,
                                   .srcAccessMask = written,
                                   .dstStageMask = to,
                                   .dstAccessMask = used};
  const VkDependencyInfo info = {
      .sType = VK_STRUCTURE_TYPE_DEPENDENCY_INFO, .memoryBarrierCount = 1, .pMemoryBarriers = &memory};
  if (commands_ != VK_NULL_HANDLE) gpu_.vk().vkCmdPipelineBarrier2(commands_, &info);
  read_.clear();
  written_.clear();
  ++barriers_;
}

void CommandRecorder::timestamp(uint32_t number) {
  if (timestamps_ == VK_NULL_HANDLE) return;
  gpu_.vk().vkCmdWriteTimestamp2(commands_, VK_PIPELINE_STAGE_2_COMPUTE_SHADER_BIT, timestamps_, number);
}

Result<void> CommandRecorder::dispatch_bytes(const PipelineKey& key, const void* arguments, uint32_t bytes,
                                             Groups groups, std::span<const Access> reads,
                                             std::span<const Access> writes) {
  const auto range = slice_of(key, groups);
  if (!range) return {};
  if (conflicts(reads, writes)) {
    barrier(VK_PIPELINE_STAGE_2_COMPUTE_SHADER_BIT, VK_ACCESS_2_SHADER_STORAGE_WRITE_BIT,
            VK_PIPELINE_STAGE_2_COMPUTE_SHADER_BIT,
            VK_ACCESS_2_SHADER_STORAGE_READ_BIT | VK_ACCESS_2_SHADER_STORAGE_WRITE_BIT);
  }
  read_.insert(read_.end(), reads.begin(), reads.end());
  written_.insert(written_.end(), writes.begin(), writes.end());
  if (launches_.empty()) timestamp(0);
  launches_.push_back({key, range->count, operation_});
  if (commands_ == VK_NULL_HANDLE) return {};
  const auto pipeline = pipelines_.get(key);
  if (!pipeline) return std::unexpected(pipeline.error());
  const VolkDeviceTable& vk = gpu_.vk();
  if (*pipeline != bound_) {
    vk.vkCmdBindPipeline(commands_, VK_PIPELINE_BIND_POINT_COMPUTE, *pipeline);
    bound_ = *pipeline;
  }
  vk.vkCmdPushConstants(commands_, pipelines_.layout(), VK_SHADER_STAGE_COMPUTE_BIT, 0, bytes, arguments);
  if (slices_ == 1) {
    vk.vkCmdDispatch(commands_, groups.x, groups.y, groups.z);
  } else {
    const auto& [first, count] = *range;
    vk.vkCmdDispatchBase(commands_, first.x, first.y, first.z, count.x, count.y, count.z);
  }
  timestamp(dispatches());
  return {};
}

void CommandRecorder::join_earlier() {
  barrier(VK_PIPELINE_STAGE_2_ALL_COMMANDS_BIT, VK_ACCESS_2_MEMORY_WRITE_BIT, VK_PIPELINE_STAGE_2_COMPUTE_SHADER_BIT,
          VK_ACCESS_2_SHADER_STORAGE_READ_BIT | VK_ACCESS_2_SHADER_STORAGE_WRITE_BIT);
}

void CommandRecorder::show_to_host() {
  barrier(VK_PIPELINE_STAGE_2_COMPUTE_SHADER_BIT, VK_ACCESS_2_SHADER_STORAGE_WRITE_BIT, VK_PIPELINE_STAGE_2_HOST_BIT,
          VK_ACCESS_2_HOST_READ_BIT);
}

void CommandRecorder::copy(VkBuffer from, VkBuffer to, std::span<const VkBufferCopy> regions) {
  if (commands_ == VK_NULL_HANDLE) return;
  gpu_.vk().vkCmdCopyBuffer(commands_, from, to, static_cast<uint32_t>(regions.size()), regions.data());
}

void CommandRecorder::copy_from_host(VkBuffer from, VkBuffer to, std::span<const VkBufferCopy> regions) {
  barrier(VK_PIPELINE_STAGE_2_COMPUTE_SHADER_BIT, VK_ACCESS_2_SHADER_STORAGE_WRITE_BIT, VK_PIPELINE_STAGE_2_COPY_BIT,
          VK_ACCESS_2_TRANSFER_WRITE_BIT);
  copy(from, to, regions);
  barrier(VK_PIPELINE_STAGE_2_COPY_BIT, VK_ACCESS_2_TRANSFER_WRITE_BIT, VK_PIPELINE_STAGE_2_COMPUTE_SHADER_BIT,
          VK_ACCESS_2_SHADER_STORAGE_READ_BIT | VK_ACCESS_2_SHADER_STORAGE_WRITE_BIT);
}

void CommandRecorder::copy_to_host(VkBuffer from, VkBuffer to, std::span<const VkBufferCopy> regions) {
  barrier(VK_PIPELINE_STAGE_2_COMPUTE_SHADER_BIT, VK_ACCESS_2_SHADER_STORAGE_WRITE_BIT, VK_PIPELINE_STAGE_2_COPY_BIT,
          VK_ACCESS_2_TRANSFER_READ_BIT);
  copy(from, to, regions);
  barrier(VK_PIPELINE_STAGE_2_COPY_BIT, VK_ACCESS_2_TRANSFER_WRITE_BIT, VK_PIPELINE_STAGE_2_HOST_BIT,
          VK_ACCESS_2_HOST_READ_BIT);
}

}  // namespace hearth::vulkan
