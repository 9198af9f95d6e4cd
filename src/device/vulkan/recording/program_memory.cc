// What a program allocates.
#include <algorithm>
#include <cmath>

#include "device/vulkan/memory/upload.h"
#include "device/vulkan/recording/program.h"
#include "device/vulkan/shaders/layout.h"

namespace hearth::vulkan {
namespace {

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

Result<Buffer> upload(Gpu& gpu, BufferPool& pool, std::span<const std::byte> bytes) {
  auto buffer = Buffer::create(gpu, std::max<uint64_t>(bytes.size(), 256), Placement::device, MemoryOwner::activations);
  if (!buffer) return buffer;
  Uploader uploader(gpu, pool);
  const Slice slice = {&*buffer, 0, bytes.size()};
  if (auto written = uploader.write(slice, 0, bytes); !written) return pass_on(written);
  if (auto finished = uploader.finish(); !finished) return pass_on(finished);
  return buffer;
}

uint64_t readback_bytes(uint64_t rows, uint64_t vocabulary) {
  return std::max<uint64_t>(rows * vocabulary * sizeof(float), 256);
}

uint32_t rows_of_logits(const ProgramLimits& limits) { return std::max(1U, bucket_of(limits.logit_rows)); }

/// What attention, matmuls whose rows workgroups share and the choice of candidates need, without addresses.
struct ScratchSizes {
  PartsScratch parts;
  CandidatePlaces candidates;

  uint64_t bytes() const {
    return parts.partial_bytes + parts.counter_bytes + candidates.partial_bytes + candidates.counter_bytes +
           candidates.best_bytes;
  }
};

ScratchSizes scratch_sizes(const GpuProperties& gpu, const AttentionPlan& attention, const Tuning& tuning,
                           const Recording& recording, const ProgramLimits& limits) {
  uint64_t floats = 0, counters = 1;
  const uint32_t most = bucket_of(limits.tokens);
  for (uint32_t tokens = 1; tokens <= most; tokens = bucket_of(tokens + 1)) {
    for (const Mix mix : {Mix::single_tokens, Mix::apart, Mix::prompts, Mix::both}) {
      const uint32_t singles = attention.single_tiles(tokens, mix);
      for (const Operation& operation : recording.operations) {
        if (singles == 0) continue;
        const auto need = [&](uint64_t teams, uint32_t splits, uint64_t part_floats) {
          counters = std::max(counters, teams);
          if (splits > 1) floats = std::max(floats, teams * splits * part_floats);
        };
        if (const auto* op = std::get_if<Attention>(&operation)) {
          const FewAttention few = attention.few(*op, singles);
          need(uint64_t{singles} * op->kv_heads * few.parts, few.splits, few.part_floats(op->head_dim));
        } else if (const auto* latent = std::get_if<LatentAttention>(&operation)) {
          const LatentCut cut = attention.latents(*latent, singles);
          need(uint64_t{singles} * cut.parts, cut.splits, cut.part_floats(latent->value_dim));
        }
      }
    }
  }
  if (!gpu.fragments.empty()) {
    floats = std::max<uint64_t>(floats, kMostSharedValues);
    counters = std::max<uint64_t>(counters, kMostSharedTiles);
  }
  const uint64_t rows = rows_of_logits(limits);
  const uint32_t vocabulary = recording.has_logits ? recording.tensors[recording.logits.index].width : 0;
  ScratchSizes sizes;
  sizes.parts.partial_bytes = floats * 4;
  sizes.parts.counter_bytes = counters * 4;
  sizes.candidates.partial_bytes = rows * candidate_stretches(tuning, vocabulary) * kMaxCandidates * 8;
  sizes.candidates.counter_bytes = rows * 4;
  sizes.candidates.best_bytes = rows * 4;
  sizes.candidates.result_bytes = rows * kMaxCandidates * sizeof(TokenLogit);
  return sizes;
}

}  // namespace

Result<uint64_t> VulkanProgram::planned_bytes(const GpuProperties& gpu, const Tuning& tuning,
                                              const Recording& recording, std::span<const MatrixSpec> specs,
                                              const ProgramLimits& limits) {
  std::vector<Matrix> matrices;
  for (const MatrixSpec& spec : specs) {
    auto matrix = lay_out_matrix(gpu, spec);
    if (!matrix) return pass_on(matrix);
    matrices.push_back(std::move(*matrix));
  }
  auto attention = AttentionPlan::make(gpu, tuning, recording, limits);
  if (!attention) return pass_on(attention);
  const uint32_t rows = rows_of_logits(limits);
  const auto activations = Activations::planned_bytes(gpu, recording, matrices, bucket_of(limits.tokens), rows);
  if (!activations) return activations;
  uint64_t ropes = 0;
  for (const RopeSpec& rope : recording.ropes) {
    ropes += (shared::kRopeCoarse + shared::kRopeSpan) * rope.inverse_frequencies.size() * 2 * sizeof(float);
  }
  return *activations + scratch_sizes(gpu, *attention, tuning, recording, limits).bytes() + ropes;
}

uint64_t VulkanProgram::planned_staging_bytes(const Recording& recording, const ProgramLimits& limits,
                                              std::span<const uint32_t> blocks_per_group) {
  const uint64_t rows = rows_of_logits(limits);
  const uint32_t vocabulary = recording.has_logits ? recording.tensors[recording.logits.index].width : 0;
  const uint64_t of_slot =
      StepBuffer::planned_bytes(limits, blocks_per_group) + rows * kMaxCandidates * sizeof(TokenLogit);
  return readback_bytes(rows, vocabulary) + kSlots * of_slot;
}

Result<void> VulkanProgram::allocate(const ProgramLimits& limits) {
  limits_ = limits;
  if (recording_.has_logits) vocabulary_ = recording_.tensors[recording_.logits.index].width;
  logit_rows_ = rows_of_logits(limits);
  if (auto made = activations_.create(gpu_, recording_, weights_.matrices(), bucket_of(limits.tokens), logit_rows_);
      !made) {
    return made;
  }
  auto readback =
      Buffer::create(gpu_, readback_bytes(logit_rows_, vocabulary_), Placement::host_cached, MemoryOwner::staging);
  if (!readback) return pass_on(readback);
  readback_ = std::move(*readback);
  if (auto made = make_rope_tables(); !made) return made;
  if (auto made = make_scratch(limits); !made) return made;

  const VkCommandPoolCreateInfo pool = {.sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO,
                                        .flags = VK_COMMAND_POOL_CREATE_RESET_COMMAND_BUFFER_BIT,
                                        .queueFamilyIndex = gpu_.queue_family()};
  const VkResult made = gpu_.vk().vkCreateCommandPool(gpu_.device(), &pool, nullptr, &pool_);
  if (made != VK_SUCCESS) return fail_vulkan(made, "preparing a program");
  for (Slot& slot : slots_) {
    if (auto slot_made = make_slot(slot, limits); !slot_made) return slot_made;
  }
  return {};
}

Result<void> VulkanProgram::make_slot(Slot& slot, const ProgramLimits& limits) {
  if (auto made = slot.step.create(gpu_, limits, cache_); !made) return made;
  if (auto made = slot.handover.create(gpu_, recording_, bucket_of(limits.tokens), logit_rows_); !made) return made;
  auto results = Buffer::create(gpu_, uint64_t{logit_rows_} * kMaxCandidates * sizeof(TokenLogit),
                                Placement::host_cached, MemoryOwner::staging);
  if (!results) return pass_on(results);
  slot.results = std::move(*results);
  if (gpu_.properties().compiles_only) return {};
  const VkFenceCreateInfo fence = {.sType = VK_STRUCTURE_TYPE_FENCE_CREATE_INFO};
  const VkResult made = gpu_.vk().vkCreateFence(gpu_.device(), &fence, nullptr, &slot.fence);
  if (made != VK_SUCCESS) return fail_vulkan(made, "preparing a program");
  return {};
}

Result<void> VulkanProgram::make_rope_tables() {
  std::vector<float> tables;
  std::vector<size_t> starts;
  for (const RopeSpec& rope : recording_.ropes) {
    starts.push_back(tables.size());
    append_turns(rope, shared::kRopeCoarse, shared::kRopeSpan, 1.0, tables);
    append_turns(rope, shared::kRopeSpan, 1, rope.magnitude, tables);
  }
  auto buffer = upload(gpu_, weights_.pool(), std::as_bytes(std::span(tables)));
  if (!buffer) return pass_on(buffer);
  rope_buffer_ = std::move(*buffer);
  for (size_t i = 0; i < recording_.ropes.size(); ++i) {
    const auto pairs = static_cast<uint32_t>(recording_.ropes[i].inverse_frequencies.size());
    ropes_.push_back({rope_buffer_.address() + starts[i] * 4, pairs});
  }
  return {};
}

Result<void> VulkanProgram::make_scratch(const ProgramLimits& limits) {
  const ScratchSizes sizes = scratch_sizes(gpu_.properties(), attention_, tuning_, recording_, limits);
  scratch_ = sizes.parts;
  CandidatePlaces& places = candidate_places_ = sizes.candidates;
  // Counters start at zero, and every use leaves them at zero.
  auto buffer = upload(gpu_, weights_.pool(), std::vector<std::byte>(sizes.bytes()));
  if (!buffer) return pass_on(buffer);
  scratch_buffer_ = std::move(*buffer);
  places.partials = scratch_buffer_.address();
  scratch_.partials = places.partials + places.partial_bytes;  // a multiple of 16 bytes behind, as quads need
  scratch_.counters = scratch_.partials + scratch_.partial_bytes;
  places.counters = scratch_.counters + scratch_.counter_bytes;
  places.best = places.counters + places.counter_bytes;
  return {};
}

}  // namespace hearth::vulkan
