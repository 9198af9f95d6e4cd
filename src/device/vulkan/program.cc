#include "device/vulkan/program.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>

#include "device/vulkan/shaders/layout.h"
#include "device/vulkan/timestamps.h"
#include "device/vulkan/upload.h"

namespace hearth::vulkan {
namespace {

constexpr uint32_t kRopeCoarse = 4096;  // positions up to kRopeCoarse * kRopeSpan

/// cos and sin of position * frequency, to float32's accuracy: a GPU's own are not made for large angles.
void append_turns(const RopeSpec& rope, uint32_t count, uint32_t step, double magnitude, std::vector<float>& table) {
  for (uint32_t i = 0; i < count; ++i) {
    for (const float frequency : rope.inverse_frequencies) {
      const double angle = static_cast<double>(i) * step * frequency;
      table.push_back(static_cast<float>(std::cos(angle) * magnitude));
      table.push_back(static_cast<float>(std::sin(angle) * magnitude));
    }
  }
}

Result<Buffer> upload(Gpu& gpu, std::span<const std::byte> bytes) {
  auto buffer = Buffer::create(gpu, std::max<uint64_t>(bytes.size(), 256), Placement::device);
  if (!buffer) return buffer;
  Uploader uploader(gpu);
  const Slice slice = {&*buffer, 0, bytes.size()};
  if (auto written = uploader.write(slice, 0, bytes); !written) return pass_on(written);
  if (auto finished = uploader.finish(); !finished) return pass_on(finished);
  return buffer;
}

}  // namespace

Result<std::unique_ptr<VulkanProgram>> VulkanProgram::create(Gpu& gpu, Pipelines& pipelines, const Tuning& tuning,
                                                             const Recording& recording, const Weights& weights,
                                                             const Cache& cache, const ProgramLimits& limits) {
  std::unique_ptr<VulkanProgram> program(new VulkanProgram(gpu, pipelines, tuning, recording, weights, cache));
  if (auto allocated = program->allocate(limits); !allocated) return pass_on(allocated);
  return program;
}

Result<void> VulkanProgram::allocate(const ProgramLimits& limits) {
  limits_ = limits;
  vocabulary_ = recording_.tensors[recording_.logits.index].width;
  const uint32_t logit_rows = std::max(1U, bucket_of(limits.logit_rows));
  if (auto made = activations_.create(gpu_, recording_, weights_, bucket_of(limits.tokens), logit_rows); !made) {
    return made;
  }
  if (auto made = step_.create(gpu_, limits, cache_); !made) return made;
  auto readback = Buffer::create(gpu_, uint64_t{logit_rows} * vocabulary_ * 4, Placement::host_cached);
  if (!readback) return pass_on(readback);
  readback_ = std::move(*readback);
  if (auto made = make_rope_tables(); !made) return made;
  if (auto made = make_scratch(limits); !made) return made;

  const VkCommandPoolCreateInfo pool = {.sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO,
                                        .flags = VK_COMMAND_POOL_CREATE_RESET_COMMAND_BUFFER_BIT,
                                        .queueFamilyIndex = gpu_.queue_family()};
  const VkFenceCreateInfo fence = {.sType = VK_STRUCTURE_TYPE_FENCE_CREATE_INFO};
  VkResult made = gpu_.vk().vkCreateCommandPool(gpu_.device(), &pool, nullptr, &pool_);
  const bool runs = !gpu_.properties().compiles_only;
  if (made == VK_SUCCESS && runs) made = gpu_.vk().vkCreateFence(gpu_.device(), &fence, nullptr, &fence_);
  if (made != VK_SUCCESS) return fail_vulkan(made, "preparing a program");
  return {};
}

VulkanProgram::~VulkanProgram() {
  gpu_.vk().vkDestroyFence(gpu_.device(), fence_, nullptr);
  gpu_.vk().vkDestroyCommandPool(gpu_.device(), pool_, nullptr);
}

Result<void> VulkanProgram::make_rope_tables() {
  std::vector<float> tables;
  std::vector<size_t> starts;
  for (const RopeSpec& rope : recording_.ropes) {
    starts.push_back(tables.size());
    append_turns(rope, kRopeCoarse, shared::kRopeSpan, 1.0, tables);
    append_turns(rope, shared::kRopeSpan, 1, rope.magnitude, tables);
  }
  auto buffer = upload(gpu_, std::as_bytes(std::span(tables)));
  if (!buffer) return pass_on(buffer);
  rope_buffer_ = std::move(*buffer);
  for (size_t i = 0; i < recording_.ropes.size(); ++i) {
    const auto pairs = static_cast<uint32_t>(recording_.ropes[i].inverse_frequencies.size());
    const VkDeviceAddress coarse = rope_buffer_.address() + starts[i] * 4;
    ropes_.push_back({coarse, coarse + uint64_t{kRopeCoarse} * pairs * 8, pairs});
  }
  return {};
}

Result<void> VulkanProgram::make_scratch(const ProgramLimits& limits) {
  uint64_t floats = 0, counters = 1;
  const uint32_t most = bucket_of(limits.tokens);
  for (uint32_t tokens = 1; tokens <= most; tokens = bucket_of(tokens + 1)) {
    for (const Operation& operation : recording_.operations) {
      const auto* op = std::get_if<Attention>(&operation);
      if (op == nullptr) continue;
      const auto shape = attention_shape(tuning_, *op, tokens, tile_tokens_of(tuning_, recording_, tokens));
      floats = std::max(floats, partial_floats(shape, *op, tokens));
      counters = std::max(counters, uint64_t{tokens} * op->kv_heads);
    }
  }
  scratch_.partial_bytes = floats * 4;
  scratch_.counter_bytes = counters * 4;
  // Counters start at zero, and every use leaves them at zero.
  auto buffer = upload(gpu_, std::vector<std::byte>(scratch_.partial_bytes + scratch_.counter_bytes));
  if (!buffer) return pass_on(buffer);
  scratch_buffer_ = std::move(*buffer);
  scratch_.partials = scratch_buffer_.address();
  scratch_.counters = scratch_.partials + scratch_.partial_bytes;
  return {};
}

Result<void> VulkanProgram::prepare() {
  const auto begin = std::chrono::steady_clock::now();
  const PipelineStatistics before = pipelines_.statistics();
  std::set<PipelineKey> keys;
  // No operation's pipeline depends on both counts, so each count is met once, not each pair.
  const Bucket most = {bucket_of(limits_.tokens), bucket_of(limits_.logit_rows)};
  for (Bucket bucket = {1, 0};; bucket = {std::min(bucket_of(bucket.tokens + 1), most.tokens),
                                          std::min(bucket_of(bucket.logit_rows + 1), most.logit_rows)}) {
    auto listed = statistics(bucket.tokens, bucket.logit_rows);
    if (!listed) return pass_on(listed);
    for (Launch& launch : listed->launches) keys.insert(std::move(launch.key));
    if (bucket == most) break;
  }
  if (auto made = pipelines_.prepare(keys); !made) return made;
  const PipelineStatistics now = pipelines_.statistics();
  spdlog::info("{} pipelines in {:.1f} s ({} of {} new ones from the cache)", keys.size(),
               std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count(),
               now.from_cache - before.from_cache, now.made - before.made);
  return {};
}

Result<VulkanProgram::Recorded*> VulkanProgram::recorded(const Bucket& bucket) {
  Recorded& found = recordings_[bucket];
  if (found.commands == VK_NULL_HANDLE || found.generation != step_.generation()) {
    if (auto made = record(bucket, found); !made) {
      found.generation = 0;
      return pass_on(made);
    }
  }
  return &found;
}

Result<VkCommandBuffer> VulkanProgram::allocate_commands() {
  const VkCommandBufferAllocateInfo info = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO,
                                            .commandPool = pool_,
                                            .level = VK_COMMAND_BUFFER_LEVEL_PRIMARY,
                                            .commandBufferCount = 1};
  VkCommandBuffer commands = VK_NULL_HANDLE;
  const VkResult made = gpu_.vk().vkAllocateCommandBuffers(gpu_.device(), &info, &commands);
  if (made != VK_SUCCESS) return fail_vulkan(made, "allocating a command buffer");
  return commands;
}

Result<void> VulkanProgram::record(const Bucket& bucket, Recorded& recorded) {
  if (recorded.commands == VK_NULL_HANDLE) {
    auto allocated = allocate_commands();
    if (!allocated) return pass_on(allocated);
    recorded.commands = *allocated;
  }
  const VkCommandBufferBeginInfo begin = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO};
  if (const VkResult begun = gpu_.vk().vkBeginCommandBuffer(recorded.commands, &begin); begun != VK_SUCCESS) {
    return fail_vulkan(begun, "recording a step");
  }
  CommandRecorder commands(gpu_, pipelines_, recorded.commands);
  if (auto made = record_commands(bucket, commands); !made) {
    gpu_.vk().vkResetCommandBuffer(recorded.commands, 0);  // a later step begins it again
    return made;
  }
  if (const VkResult ended = gpu_.vk().vkEndCommandBuffer(recorded.commands); ended != VK_SUCCESS) {
    gpu_.vk().vkResetCommandBuffer(recorded.commands, 0);
    return fail_vulkan(ended, "recording a step");
  }
  recorded.generation = step_.generation();
  return {};
}

Result<void> VulkanProgram::record_commands(const Bucket& bucket, CommandRecorder& commands) {
  const StepContext context = {gpu_, tuning_, recording_, weights_, cache_, activations_, step_, ropes_, scratch_};
  if (auto made = StepRecorder(context, bucket, commands).record(); !made) return made;
  if (bucket.logit_rows > 0) {
    commands.copy_to_host(activations_.buffer().handle(), activations_.place(recording_.logits).floats,
                          readback_.handle(), uint64_t{bucket.logit_rows} * vocabulary_ * 4);
  }
  return {};
}

Result<RecordingStatistics> VulkanProgram::statistics(uint32_t tokens, uint32_t logit_rows) {
  CommandRecorder commands(gpu_, pipelines_, VK_NULL_HANDLE);
  if (auto made = record_commands({bucket_of(tokens), bucket_of(logit_rows)}, commands); !made) return pass_on(made);
  return RecordingStatistics{commands.dispatches(), commands.barriers(), commands.launches()};
}

Result<void> VulkanProgram::submit_and_wait(VkCommandBuffer commands) {
  if (auto submitted = gpu_.submit(commands, fence_); !submitted) return submitted;
  return gpu_.wait(fence_, "running a step");
}

namespace {

Bucket bucket_for(const StepInput& input) {
  return {bucket_of(static_cast<uint32_t>(input.token_ids.size())),
          bucket_of(static_cast<uint32_t>(input.logit_rows.size()))};
}

}  // namespace

Result<StepOutput> VulkanProgram::run(const StepInput& input) {
  const Bucket bucket = bucket_for(input);
  if (auto written = step_.write(input, tile_tokens_of(tuning_, recording_, bucket.tokens)); !written) {
    return pass_on(written);
  }
  auto found = recorded(bucket);
  if (!found) return pass_on(found);
  if (auto done = submit_and_wait((*found)->commands); !done) return pass_on(done);
  const auto* logits = reinterpret_cast<const float*>(readback_.mapped());
  return StepOutput{{logits, input.logit_rows.size() * vocabulary_}};
}

/// `seconds`, where given, receives the time from the submit to its end.
Result<std::vector<DispatchTime>> VulkanProgram::measure(const StepInput& input, double* seconds) {
  const VolkDeviceTable& vk = gpu_.vk();
  const Bucket bucket = bucket_for(input);
  if (auto written = step_.write(input, tile_tokens_of(tuning_, recording_, bucket.tokens)); !written) {
    return pass_on(written);
  }
  auto counted = statistics(bucket.tokens, bucket.logit_rows);
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
    if (auto made = record_commands(bucket, commands); !made) return made;
    vk.vkEndCommandBuffer(*allocated);
    const auto start = std::chrono::steady_clock::now();
    auto done = submit_and_wait(*allocated);
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
