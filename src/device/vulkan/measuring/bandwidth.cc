#include "device/vulkan/measuring/bandwidth.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>
#include <numeric>

#include "device/vulkan/measuring/single_submit.h"
#include "device/vulkan/memory/memory.h"
#include "device/vulkan/recording/command_recorder.h"
#include "device/vulkan/recording/timestamps.h"
#include "device/vulkan/shaders/layout.h"

namespace hearth::vulkan {
namespace {

constexpr uint32_t kThreads = 256;
constexpr uint64_t kWorkgroupBytes = uint64_t{kThreads} * shared::kBandwidthLoads * 16;
constexpr uint64_t kMostWorkgroups = 65535;
constexpr uint32_t kPasses = 9;
constexpr uint32_t kWarmUp = 2;  // the first ones find clocks and address translation cold
constexpr uint32_t kPattern = 0x01020305;

Result<double> measure_once(Gpu& gpu, Pipelines& pipelines, uint64_t bytes) {
  const uint64_t most = std::min(Arena::largest_slice(gpu.properties()) / kWorkgroupBytes, kMostWorkgroups);
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
  auto commands = SingleSubmit::begin(gpu, "measuring the bandwidth");
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
