#include "device/vulkan/bandwidth.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>
#include <numeric>

#include "device/vulkan/command_recorder.h"
#include "device/vulkan/memory.h"
#include "device/vulkan/shaders/layout.h"
#include "device/vulkan/timestamps.h"

namespace hearth::vulkan {
namespace {

constexpr uint32_t kThreads = 256;
constexpr uint64_t kWorkgroupBytes = uint64_t{kThreads} * shared::kBandwidthLoads * 16;
constexpr uint64_t kMostWorkgroups = 65535;
constexpr uint32_t kPasses = 9;
constexpr uint32_t kWarmUp = 2;  // the first ones find clocks and address translation cold
constexpr uint32_t kPattern = 0x01020305;

/// One command buffer that runs once.
class Commands {
 public:
  static Result<Commands> begin(Gpu& gpu) {
    Commands commands(gpu);
    const VolkDeviceTable& vk = gpu.vk();
    const VkCommandPoolCreateInfo pool = {.sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO,
                                          .queueFamilyIndex = gpu.queue_family()};
    const VkFenceCreateInfo fence = {.sType = VK_STRUCTURE_TYPE_FENCE_CREATE_INFO};
    VkResult made = vk.vkCreateCommandPool(gpu.device(), &pool, nullptr, &commands.pool_);
    if (made == VK_SUCCESS) made = vk.vkCreateFence(gpu.device(), &fence, nullptr, &commands.fence_);
    const VkCommandBufferAllocateInfo info = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO,
                                              .commandPool = commands.pool_,
                                              .level = VK_COMMAND_BUFFER_LEVEL_PRIMARY,
                                              .commandBufferCount = 1};
    if (made == VK_SUCCESS) made = vk.vkAllocateCommandBuffers(gpu.device(), &info, &commands.buffer_);
    if (made != VK_SUCCESS) return fail_vulkan(made, "preparing a measurement");
    const VkCommandBufferBeginInfo begin = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO,
                                            .flags = VK_COMMAND_BUFFER_USAGE_ONE_TIME_SUBMIT_BIT};
    vk.vkBeginCommandBuffer(commands.buffer_, &begin);
    return commands;
  }
  ~Commands() {
    gpu_->vk().vkDestroyFence(gpu_->device(), fence_, nullptr);
    gpu_->vk().vkDestroyCommandPool(gpu_->device(), pool_, nullptr);
  }
  Commands(Commands&& other) noexcept
      : gpu_(other.gpu_),
        pool_(std::exchange(other.pool_, VK_NULL_HANDLE)),
        fence_(std::exchange(other.fence_, VK_NULL_HANDLE)),
        buffer_(other.buffer_) {}
  Commands& operator=(Commands&&) = delete;

  VkCommandBuffer buffer() const { return buffer_; }

  /// Fills a buffer before anything that is recorded after.
  void fill(const Buffer& target, uint32_t word) {
    gpu_->vk().vkCmdFillBuffer(buffer_, target.handle(), 0, VK_WHOLE_SIZE, word);
    const VkMemoryBarrier2 memory = {
        .sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER_2,
        .srcStageMask = VK_PIPELINE_STAGE_2_CLEAR_BIT,
        .srcAccessMask = VK_ACCESS_2_TRANSFER_WRITE_BIT,
        .dstStageMask = VK_PIPELINE_STAGE_2_COMPUTE_SHADER_BIT,
        .dstAccessMask = VK_ACCESS_2_SHADER_STORAGE_READ_BIT | VK_ACCESS_2_SHADER_STORAGE_WRITE_BIT};
    const VkDependencyInfo info = {
        .sType = VK_STRUCTURE_TYPE_DEPENDENCY_INFO, .memoryBarrierCount = 1, .pMemoryBarriers = &memory};
    gpu_->vk().vkCmdPipelineBarrier2(buffer_, &info);
  }

  Result<void> run() {
    if (const VkResult ended = gpu_->vk().vkEndCommandBuffer(buffer_); ended != VK_SUCCESS) {
      return fail_vulkan(ended, "recording a measurement");
    }
    if (auto submitted = gpu_->submit(buffer_, fence_); !submitted) return submitted;
    const VkResult waited = gpu_->vk().vkWaitForFences(gpu_->device(), 1, &fence_, VK_TRUE, UINT64_MAX);
    return waited == VK_SUCCESS ? Result<void>() : fail_vulkan(waited, "a measurement");
  }

 private:
  explicit Commands(Gpu& gpu) : gpu_(&gpu) {}

  Gpu* gpu_;
  VkCommandPool pool_ = VK_NULL_HANDLE;
  VkFence fence_ = VK_NULL_HANDLE;
  VkCommandBuffer buffer_ = VK_NULL_HANDLE;
};

Result<double> measure_once(Gpu& gpu, Pipelines& pipelines, uint64_t bytes) {
  const uint64_t most = std::min(Arena::largest_slice(gpu) / kWorkgroupBytes, kMostWorkgroups);
  const auto workgroups = static_cast<uint32_t>(std::clamp<uint64_t>(bytes / kWorkgroupBytes, 1, most));
  bytes = workgroups * kWorkgroupBytes;
  auto source = Buffer::create(gpu, bytes, Placement::device, MemoryOwner::staging);
  if (!source) return pass_on(source);
  auto sums = Buffer::create(gpu, shared::kBandwidthSums * sizeof(uint32_t), Placement::device, MemoryOwner::staging);
  if (!sums) return pass_on(sums);
  auto readback = Buffer::create(gpu, sums->bytes(), Placement::host_cached, MemoryOwner::staging);
  if (!readback) return pass_on(readback);
  auto timestamps = Timestamps::create(gpu, kPasses + 1);
  if (!timestamps) return pass_on(timestamps);
  auto commands = Commands::begin(gpu);
  if (!commands) return pass_on(commands);

  commands->fill(*source, kPattern);
  commands->fill(*sums, 0);
  timestamps->reset(commands->buffer());
  CommandRecorder recorder(gpu, pipelines, commands->buffer(), timestamps->pool());
  const shared::ReadBandwidthArguments arguments = {.source = source->address(), .sums = sums->address()};
  const std::array reads = {Access{source->address(), source->address() + bytes}};
  // All passes declare the same sums, so that each waits for the one before.
  const std::array writes = {Access{sums->address(), sums->address() + sums->bytes()}};
  for (uint32_t pass = 0; pass < kPasses; ++pass) {
    const PipelineKey key = {Shader::read_bandwidth, kThreads, {}};
    if (auto done = recorder.dispatch(key, arguments, {workgroups}, reads, writes); !done) return pass_on(done);
  }
  const VkBufferCopy all = {.size = sums->bytes()};
  recorder.copy_to_host(sums->handle(), readback->handle(), std::span(&all, 1));
  if (auto ran = commands->run(); !ran) return pass_on(ran);

  std::array<uint32_t, shared::kBandwidthSums> found;
  std::memcpy(found.data(), readback->mapped(), sizeof found);
  const uint32_t expected = kPattern * static_cast<uint32_t>(bytes / sizeof(uint32_t)) * kPasses;
  if (std::accumulate(found.begin(), found.end(), 0U) != expected) {
    return fail(ErrorCode::internal, "the shader that measures the bandwidth did not read every word once");
  }
  auto seconds = timestamps->intervals();
  if (!seconds) return pass_on(seconds);
  const std::span counted = std::span(*seconds).subspan(kWarmUp);
  std::ranges::nth_element(counted, counted.begin() + counted.size() / 2);
  return static_cast<double>(bytes) / counted[counted.size() / 2] / 1e9;
}

}  // namespace

Result<double> measure_read_bandwidth(Gpu& gpu, Pipelines& pipelines, uint64_t bytes) {
  // A GPU that was idle needs a while under load until its clocks are up: an H100's first passes reached 58 % of what
  // it reads at full clock, and a share of that would say too much.
  constexpr std::chrono::milliseconds kAtLeast(1000);
  const auto start = std::chrono::steady_clock::now();
  double best = 0;
  do {
    auto measured = measure_once(gpu, pipelines, bytes);
    if (!measured) return measured;
    best = std::max(best, *measured);
  } while (std::chrono::steady_clock::now() - start < kAtLeast);
  return best;
}

}  // namespace hearth::vulkan
