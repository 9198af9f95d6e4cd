#include "device/vulkan/recording/program.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <set>
#include <utility>

#include "device/step_activations.h"
#include "device/vulkan/memory/upload.h"
#include "device/vulkan/shaders/layout.h"

namespace hearth::vulkan {

Result<std::unique_ptr<VulkanProgram>> VulkanProgram::create(Gpu& gpu, Pipelines& pipelines,
                                                             const MatmulTunings& tunings, const Recording& recording,
                                                             Weights& weights, const Cache& cache,
                                                             const ProgramLimits& limits) {
  auto attention = AttentionPlan::make(gpu.properties(), tunings.base(), recording, limits);
  if (!attention) return pass_on(attention);
  std::unique_ptr<VulkanProgram> program(
      new VulkanProgram(gpu, pipelines, tunings, std::move(*attention), recording, weights, cache));
  if (auto allocated = program->allocate(limits); !allocated) return pass_on(allocated);
  return program;
}

VulkanProgram::~VulkanProgram() {
  tuner_.reset();
  while (in_flight_ > 0) (void)wait_for(oldest());  // a lost device has nothing left to wait for
  for (Slot& slot : slots_) gpu_.vk().vkDestroyFence(gpu_.device(), slot.fence, nullptr);
  gpu_.vk().vkDestroyCommandPool(gpu_.device(), pool_, nullptr);
}

Result<void> VulkanProgram::prepare(const std::stop_token& stop) {
  if (auto made = prepare_pipelines(stop); !made || is_awaiting_) return made;
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

Result<void> VulkanProgram::prepare_pipelines(const std::stop_token& stop) {
  const auto begin = std::chrono::steady_clock::now();
  const PipelineStatistics before = pipelines_.statistics();
  std::set<PipelineKey> keys;
  // No operation's pipeline depends on both counts, so each count is met once, not each pair.
  const Bucket most = {bucket_of(limits_.tokens), bucket_of(limits_.logit_rows)};
  for (Bucket bucket = {1, 0};; bucket = {std::min(bucket_of(bucket.tokens + 1), most.tokens),
                                          std::min(bucket_of(bucket.logit_rows + 1), most.logit_rows)}) {
    if (auto listed = list_pipelines(bucket.tokens, bucket.logit_rows, keys); !listed) return listed;
    if (bucket == most) break;
  }
  if (auto made = pipelines_.prepare(keys, stop); !made) return made;
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
    if (auto made = record_one(slot, bucket, pieces[piece], recorded.commands[piece]); !made) return made;
  }
  recorded.generation = slot.step.generation();
  return {};
}

/// After an error the commands can be begun again.
Result<void> VulkanProgram::record_one(Slot& slot, const Bucket& bucket, const StepPiece& piece,
                                       VkCommandBuffer commands) {
  const VkCommandBufferBeginInfo begin = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO};
  if (const VkResult begun = gpu_.vk().vkBeginCommandBuffer(commands, &begin); begun != VK_SUCCESS) {
    return fail_vulkan(begun, "recording a step");
  }
  CommandRecorder recorder(gpu_, pipelines_, commands);
  auto made = record_piece(slot, bucket, piece, recorder);
  if (made) {
    if (const VkResult ended = gpu_.vk().vkEndCommandBuffer(commands); ended != VK_SUCCESS) {
      made = fail_vulkan(ended, "recording a step");
    }
  }
  if (!made) gpu_.vk().vkResetCommandBuffer(commands, 0);
  return made;
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
  const StepTiles tiles = {.tokens = attention_.tile_tokens(bucket_tokens),
                           .apart = attention_.tokens_apart(input, bucket_tokens)};
  if (auto fits = check_activations(recording_, input); !fits) return fits;
  if (auto written = slot.step.write(input, tiles, static_cast<uint32_t>(rows_before)); !written) return written;
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
  const Bucket bucket = bucket_for(input);
  const auto submitted = is_awaiting_ ? submit_arriving(slot, bucket) : submit_recorded(slot, bucket);
  if (!submitted) return submitted;
  next_slot_ = (next_slot_ + 1) % slots_.size();
  ++in_flight_;
  return {};
}

Result<void> VulkanProgram::submit_recorded(Slot& slot, const Bucket& bucket) {
  auto found = recorded(slot, bucket);
  if (!found) return pass_on(found);
  for (const VkCommandBuffer& commands : (*found)->commands) {
    const bool last = &commands == &(*found)->commands.back();
    if (auto submitted = gpu_.submit(commands, last ? slot.fence : VK_NULL_HANDLE); !submitted) {
      // The pieces before are on their way, and the next step takes the same memory and command buffers.
      gpu_.vk().vkDeviceWaitIdle(gpu_.device());
      return submitted;
    }
  }
  return {};
}

Result<void> VulkanProgram::wait_for(Slot& slot) {
  --in_flight_;
  auto done = gpu_.wait(slot.fence, "running a step");
  for (const VkCommandBuffer commands : std::exchange(slot.passing, {})) free_commands(commands);
  return done;
}

Result<StepOutput> VulkanProgram::wait() {
  if (in_flight_ == 0) return fail(ErrorCode::internal, "no step is in flight");
  Slot& slot = oldest();
  const bool waited_for_weights = !slot.passing.empty();
  if (auto waited = wait_for(slot); !waited) return pass_on(waited);
  candidates_.clear();
  const auto* row = reinterpret_cast<const TokenLogit*>(slot.results.mapped()) + slot.whole_rows * kMaxCandidates;
  for (const uint32_t count : slot.candidates) {
    candidates_.insert(candidates_.end(), row, row + count);
    row += kMaxCandidates;
  }
  const auto* logits = reinterpret_cast<const float*>(readback_.mapped());
  activations_of_output_ = slot.handover.read(recording_, slot.tokens, slot.logit_rows);
  return StepOutput{
      {logits, size_t{slot.whole_rows} * vocabulary_}, candidates_, activations_of_output_, waited_for_weights};
}

}  // namespace hearth::vulkan
