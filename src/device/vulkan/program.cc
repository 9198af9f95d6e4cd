#include "device/vulkan/program.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <set>

#include "device/step_activations.h"
#include "device/vulkan/shaders/layout.h"
#include "device/vulkan/upload.h"

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

Result<Buffer> upload(Gpu& gpu, std::span<const std::byte> bytes) {
  auto buffer = Buffer::create(gpu, std::max<uint64_t>(bytes.size(), 256), Placement::device, MemoryOwner::activations);
  if (!buffer) return buffer;
  Uploader uploader(gpu);
  const Slice slice = {&*buffer, 0, bytes.size()};
  if (auto written = uploader.write(slice, 0, bytes); !written) return pass_on(written);
  if (auto finished = uploader.finish(); !finished) return pass_on(finished);
  return buffer;
}

uint32_t rows_of_logits(const ProgramLimits& limits) { return std::max(1U, bucket_of(limits.logit_rows)); }

/// What attention and the choice of candidates need, without addresses.
struct ScratchSizes {
  AttentionScratch attention;
  CandidatePlaces candidates;

  uint64_t bytes() const {
    return attention.partial_bytes + attention.counter_bytes + candidates.partial_bytes + candidates.counter_bytes +
           candidates.best_bytes;
  }
};

ScratchSizes scratch_sizes(const AttentionPlan& attention, const Tuning& tuning, const Recording& recording,
                           const ProgramLimits& limits) {
  uint64_t floats = 0, counters = 1;
  const uint32_t most = bucket_of(limits.tokens);
  for (uint32_t tokens = 1; tokens <= most; tokens = bucket_of(tokens + 1)) {
    for (const Mix mix : {Mix::single_tokens, Mix::prompts, Mix::both}) {
      const uint32_t singles = attention.single_tiles(tokens, mix);
      for (const Operation& operation : recording.operations) {
        const auto* op = std::get_if<Attention>(&operation);
        if (op == nullptr || singles == 0) continue;
        const FewAttention few = attention.few(*op, singles);
        const uint64_t teams = uint64_t{singles} * op->kv_heads * few.parts;
        counters = std::max(counters, teams);
        if (few.splits > 1) floats = std::max(floats, teams * few.splits * few.part_floats(op->head_dim));
      }
    }
  }
  const uint64_t rows = rows_of_logits(limits);
  const uint32_t vocabulary = recording.has_logits ? recording.tensors[recording.logits.index].width : 0;
  ScratchSizes sizes;
  sizes.attention.partial_bytes = floats * 4;
  sizes.attention.counter_bytes = counters * 4;
  sizes.candidates.partial_bytes = rows * candidate_stretches(tuning, vocabulary) * kMaxCandidates * 8;
  sizes.candidates.counter_bytes = rows * 4;
  sizes.candidates.best_bytes = rows * 4;
  sizes.candidates.result_bytes = rows * kMaxCandidates * sizeof(TokenLogit);
  return sizes;
}

}  // namespace

Result<uint64_t> VulkanProgram::planned_bytes(const Gpu& gpu, const Tuning& tuning, const Recording& recording,
                                              std::span<const Matrix> matrices, const ProgramLimits& limits) {
  auto attention = AttentionPlan::make(gpu.properties(), tuning, recording, limits);
  if (!attention) return pass_on(attention);
  const uint32_t rows = rows_of_logits(limits);
  const auto activations = Activations::planned_bytes(gpu, recording, matrices, bucket_of(limits.tokens), rows);
  if (!activations) return activations;
  uint64_t ropes = 0;
  for (const RopeSpec& rope : recording.ropes) {
    ropes += (shared::kRopeCoarse + shared::kRopeSpan) * rope.inverse_frequencies.size() * 2 * sizeof(float);
  }
  return *activations + scratch_sizes(*attention, tuning, recording, limits).bytes() + ropes;
}

Result<std::unique_ptr<VulkanProgram>> VulkanProgram::create(Gpu& gpu, Pipelines& pipelines,
                                                             const MatmulTunings& tunings, const Recording& recording,
                                                             const Weights& weights, const Cache& cache,
                                                             const ProgramLimits& limits) {
  auto attention = AttentionPlan::make(gpu.properties(), tunings.base(), recording, limits);
  if (!attention) return pass_on(attention);
  std::unique_ptr<VulkanProgram> program(
      new VulkanProgram(gpu, pipelines, tunings, std::move(*attention), recording, weights, cache));
  if (auto allocated = program->allocate(limits); !allocated) return pass_on(allocated);
  return program;
}

Result<void> VulkanProgram::allocate(const ProgramLimits& limits) {
  limits_ = limits;
  if (recording_.has_logits) vocabulary_ = recording_.tensors[recording_.logits.index].width;
  logit_rows_ = rows_of_logits(limits);
  if (auto made = activations_.create(gpu_, recording_, weights_.matrices(), bucket_of(limits.tokens), logit_rows_);
      !made) {
    return made;
  }
  const uint64_t logit_bytes = uint64_t{logit_rows_} * vocabulary_ * 4;
  auto readback =
      Buffer::create(gpu_, std::max<uint64_t>(logit_bytes, 256), Placement::host_cached, MemoryOwner::staging);
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

VulkanProgram::~VulkanProgram() {
  while (in_flight_ > 0) (void)wait_for(oldest());  // a lost device has nothing left to wait for
  for (Slot& slot : slots_) gpu_.vk().vkDestroyFence(gpu_.device(), slot.fence, nullptr);
  gpu_.vk().vkDestroyCommandPool(gpu_.device(), pool_, nullptr);
}

Result<void> VulkanProgram::make_rope_tables() {
  std::vector<float> tables;
  std::vector<size_t> starts;
  for (const RopeSpec& rope : recording_.ropes) {
    starts.push_back(tables.size());
    append_turns(rope, shared::kRopeCoarse, shared::kRopeSpan, 1.0, tables);
    append_turns(rope, shared::kRopeSpan, 1, rope.magnitude, tables);
  }
  auto buffer = upload(gpu_, std::as_bytes(std::span(tables)));
  if (!buffer) return pass_on(buffer);
  rope_buffer_ = std::move(*buffer);
  for (size_t i = 0; i < recording_.ropes.size(); ++i) {
    const auto pairs = static_cast<uint32_t>(recording_.ropes[i].inverse_frequencies.size());
    ropes_.push_back({rope_buffer_.address() + starts[i] * 4, pairs});
  }
  return {};
}

Result<void> VulkanProgram::make_scratch(const ProgramLimits& limits) {
  const ScratchSizes sizes = scratch_sizes(attention_, tuning_, recording_, limits);
  scratch_ = sizes.attention;
  CandidatePlaces& places = candidate_places_ = sizes.candidates;
  // Counters start at zero, and every use leaves them at zero.
  auto buffer = upload(gpu_, std::vector<std::byte>(sizes.bytes()));
  if (!buffer) return pass_on(buffer);
  scratch_buffer_ = std::move(*buffer);
  places.partials = scratch_buffer_.address();
  scratch_.partials = places.partials + places.partial_bytes;  // a multiple of 16 bytes behind, as quads need
  scratch_.counters = scratch_.partials + scratch_.partial_bytes;
  places.counters = scratch_.counters + scratch_.counter_bytes;
  places.best = places.counters + places.counter_bytes;
  return {};
}

Result<void> VulkanProgram::prepare() {
  if (auto made = prepare_pipelines(); !made) return made;
  return record_decoding();
}

/// Steps in which every sequence has one token and wants its best candidates.
Result<void> VulkanProgram::record_decoding() {
  if (gpu_.properties().compiles_only) return {};
  const auto begin = std::chrono::steady_clock::now();
  const uint32_t most = std::min({limits_.sequences, limits_.tokens, limits_.logit_rows});
  uint32_t recorded_steps = 0;
  for (Slot& slot : slots_) {
    for (uint32_t tokens = 1; tokens <= bucket_of(most); tokens = bucket_of(tokens + 1)) {
      const Bucket bucket = {.tokens = tokens, .logit_rows = tokens, .candidates = recording_.has_logits};
      if (auto made = recorded(slot, bucket); !made) return pass_on(made);
      ++recorded_steps;
    }
  }
  spdlog::debug("{} kinds of steps recorded, {:.3f} ms each", recorded_steps,
                std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin).count() /
                    std::max(recorded_steps, 1U));
  return {};
}

Result<void> VulkanProgram::prepare_pipelines() {
  const auto begin = std::chrono::steady_clock::now();
  const PipelineStatistics before = pipelines_.statistics();
  std::set<PipelineKey> keys;
  // No operation's pipeline depends on both counts, so each count is met once, not each pair.
  const Bucket most = {bucket_of(limits_.tokens), bucket_of(limits_.logit_rows)};
  for (Bucket bucket = {1, 0};; bucket = {std::min(bucket_of(bucket.tokens + 1), most.tokens),
                                          std::min(bucket_of(bucket.logit_rows + 1), most.logit_rows)}) {
    for (const Mix mix : {Mix::single_tokens, Mix::prompts, Mix::both}) {
      auto listed = statistics(bucket.tokens, bucket.logit_rows, mix);
      if (!listed) return pass_on(listed);
      for (const Launch& launch : listed->launches) keys.insert(launch.key);
    }
    if (bucket == most) break;
  }
  if (auto made = pipelines_.prepare(keys); !made) return made;
  const PipelineStatistics now = pipelines_.statistics();
  spdlog::info("{} pipelines in {:.1f} s ({} of {} new ones from the cache)", keys.size(),
               std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count(),
               now.from_cache - before.from_cache, now.made - before.made);
  return {};
}

Result<VulkanProgram::Recorded*> VulkanProgram::recorded(Slot& slot, const Bucket& bucket) {
  Recorded& found = slot.recordings[bucket];
  if (found.commands.empty() || found.generation != slot.step.generation()) {
    if (auto made = record(slot, bucket, found); !made) {
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

Result<void> VulkanProgram::record(Slot& slot, const Bucket& bucket, Recorded& recorded) {
  const std::vector<StepPiece> pieces = cut(bucket);
  for (size_t piece = 0; piece < pieces.size(); ++piece) {
    if (piece == recorded.commands.size()) {
      auto allocated = allocate_commands();
      if (!allocated) return pass_on(allocated);
      recorded.commands.push_back(*allocated);
    }
    const VkCommandBufferBeginInfo begin = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO};
    if (const VkResult begun = gpu_.vk().vkBeginCommandBuffer(recorded.commands[piece], &begin); begun != VK_SUCCESS) {
      return fail_vulkan(begun, "recording a step");
    }
    CommandRecorder commands(gpu_, pipelines_, recorded.commands[piece]);
    if (auto made = record_piece(slot, bucket, pieces[piece], commands); !made) {
      gpu_.vk().vkResetCommandBuffer(recorded.commands[piece], 0);  // a later step begins it again
      return made;
    }
    if (const VkResult ended = gpu_.vk().vkEndCommandBuffer(recorded.commands[piece]); ended != VK_SUCCESS) {
      gpu_.vk().vkResetCommandBuffer(recorded.commands[piece], 0);
      return fail_vulkan(ended, "recording a step");
    }
  }
  recorded.generation = slot.step.generation();
  return {};
}

std::vector<StepPiece> VulkanProgram::cut(const Bucket& bucket) const {
  return work_.cut(bucket.pieces, bucket.attention_slices, bucket.tokens, bucket.logit_rows);
}

/// The piece's operations, and behind the last one what the host wants of the logits.
Result<void> VulkanProgram::record_piece(Slot& slot, const Bucket& bucket, const StepPiece& piece,
                                         CommandRecorder& commands) {
  CandidatePlaces places = candidate_places_;
  places.results = slot.results.address();
  const RecorderContext context = {gpu_,   tuning_,      matmuls_,  attention_, recording_, weights_,
                                   cache_, activations_, slot.step, ropes_,     scratch_,   places};
  StepRecorder recorder(context, bucket, commands);
  commands.join_earlier();
  if (piece.begins()) {
    slot.handover.record_inputs(recording_, bucket, activations_, commands);
    if (auto made = recorder.record_inputs(); !made) return made;
  }
  commands.take_slice(piece.slice, piece.slices);
  if (auto made = recorder.record(piece.first, piece.end); !made) return made;
  if (!piece.ends(recording_)) return {};
  commands.take_slice(0, 1);
  if (bucket.candidates) {
    if (auto made = recorder.record_candidates(); !made) return made;
  }
  if (bucket.whole_rows > 0) {
    const VkBufferCopy rows = {.srcOffset = activations_.place(recording_.logits).floats,
                               .size = uint64_t{bucket.whole_rows} * vocabulary_ * 4};
    commands.copy_to_host(activations_.buffer().handle(), readback_.handle(), std::span(&rows, 1));
  }
  slot.handover.record_outputs(recording_, bucket, activations_, commands);
  return {};
}

Bucket VulkanProgram::bucket_for(const StepInput& input) const {
  const auto rows = static_cast<uint32_t>(input.logit_rows.size());
  uint32_t whole = 0;
  for (uint32_t row = 0; row < rows; ++row) whole += input.candidates_of(row) == 0 ? 1 : 0;
  if (!recording_.has_logits) whole = 0;
  const uint32_t tokens = bucket_of(static_cast<uint32_t>(input.token_ids.size()));
  return {.tokens = tokens,
          .logit_rows = bucket_of(rows),
          .whole_rows = bucket_of(whole),
          .candidates = recording_.has_logits && whole < rows,
          .pieces = work_.pieces(input),
          .attention_slices = work_.attention_slices(input),
          .mix = attention_.mix(input, tokens)};
}

Result<RecordingStatistics> VulkanProgram::statistics(const Bucket& bucket) {
  RecordingStatistics statistics;
  for (const StepPiece& piece : cut(bucket)) {
    CommandRecorder commands(gpu_, pipelines_, VK_NULL_HANDLE);
    if (auto made = record_piece(slots_[next_slot_], bucket, piece, commands); !made) {
      return pass_on(made);
    }
    statistics.dispatches += commands.dispatches();
    statistics.barriers += commands.barriers();
    ++statistics.submits;
    statistics.launches.insert(statistics.launches.end(), commands.launches().begin(), commands.launches().end());
  }
  return statistics;
}

Result<RecordingStatistics> VulkanProgram::statistics(uint32_t tokens, uint32_t logit_rows, Mix mix) {
  return statistics(Bucket{.tokens = bucket_of(tokens),
                           .logit_rows = bucket_of(logit_rows),
                           .candidates = recording_.has_logits && logit_rows > 0,
                           .mix = mix});
}

Result<void> VulkanProgram::write_input(Slot& slot, const StepInput& input) {
  const uint32_t bucket_tokens = bucket_of(static_cast<uint32_t>(input.token_ids.size()));
  const size_t rows_before = in_flight_ == 0 ? 0 : oldest().candidates.size();
  const uint32_t tile_tokens = attention_.tile_tokens(bucket_tokens);
  if (auto fits = check_activations(recording_, input); !fits) return fits;
  if (auto written = slot.step.write(input, tile_tokens, static_cast<uint32_t>(rows_before)); !written) return written;
  slot.handover.write(recording_, input);
  slot.tokens = static_cast<uint32_t>(input.token_ids.size());
  slot.logit_rows = static_cast<uint32_t>(input.logit_rows.size());
  slot.candidates.clear();
  slot.whole_rows = 0;
  for (size_t row = 0; row < input.logit_rows.size() && recording_.has_logits; ++row) {
    if (input.candidates_of(row) > 0) {
      slot.candidates.push_back(input.candidates_of(row));
    } else {
      ++slot.whole_rows;
    }
  }
  return {};
}

Result<void> VulkanProgram::submit(const StepInput& input) {
  if (in_flight_ == slots_.size()) return fail(ErrorCode::internal, "a step was submitted while two are in flight");
  if (in_flight_ > 0 && oldest().whole_rows > 0) {
    return fail(ErrorCode::internal, "a step was submitted while one with whole rows of logits is in flight");
  }
  Slot& slot = slots_[next_slot_];
  if (auto written = write_input(slot, input); !written) return written;
  auto found = recorded(slot, bucket_for(input));
  if (!found) return pass_on(found);
  for (const VkCommandBuffer& commands : (*found)->commands) {
    const bool last = &commands == &(*found)->commands.back();
    if (auto submitted = gpu_.submit(commands, last ? slot.fence : VK_NULL_HANDLE); !submitted) {
      // The pieces before are on their way, and the next step takes the same memory and command buffers.
      gpu_.vk().vkDeviceWaitIdle(gpu_.device());
      return submitted;
    }
  }
  next_slot_ = (next_slot_ + 1) % slots_.size();
  ++in_flight_;
  return {};
}

Result<void> VulkanProgram::wait_for(Slot& slot) {
  --in_flight_;
  return gpu_.wait(slot.fence, "running a step");
}

Result<StepOutput> VulkanProgram::wait() {
  if (in_flight_ == 0) return fail(ErrorCode::internal, "no step is in flight");
  Slot& slot = oldest();
  if (auto waited = wait_for(slot); !waited) return pass_on(waited);
  candidates_.clear();
  const auto* row = reinterpret_cast<const TokenLogit*>(slot.results.mapped()) + slot.whole_rows * kMaxCandidates;
  for (const uint32_t count : slot.candidates) {
    candidates_.insert(candidates_.end(), row, row + count);
    row += kMaxCandidates;
  }
  const auto* logits = reinterpret_cast<const float*>(readback_.mapped());
  activations_of_output_ = slot.handover.read(recording_, slot.tokens, slot.logit_rows);
  return StepOutput{{logits, size_t{slot.whole_rows} * vocabulary_}, candidates_, activations_of_output_};
}

}  // namespace hearth::vulkan
