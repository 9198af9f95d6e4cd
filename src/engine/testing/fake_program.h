#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <thread>
#include <vector>

#include "device/device.h"
#include "engine/random.h"
#include "model/model.h"

namespace hearth {

/// A forward pass that anybody can redo by hand: it writes each token into every group's cache at its position, reads
/// back what attention would see, and makes logits of a hash of that. A wrong block, slot, position or a stale value
/// gives other logits. It also checks the contract of step.h.
class FakeProgram final : public Program {
 public:
  FakeProgram(std::vector<CacheGroup> groups, std::span<const uint32_t> blocks_per_group, ProgramLimits limits,
              uint32_t vocabulary)
      : groups_(std::move(groups)), limits_(limits), vocabulary_(vocabulary) {
    for (const uint32_t blocks : blocks_per_group) cache_.emplace_back(size_t{blocks} * kBlockTokens, kNothing);
  }

  /// Logits after `tokens`, computed without a cache: the oracle.
  static void logits_after(std::span<const int32_t> tokens, std::span<const CacheGroup> groups, std::span<float> out) {
    uint64_t hash = 0;
    for (const CacheGroup& group : groups) {
      const size_t first = group.window > 0 && tokens.size() > group.window ? tokens.size() - group.window : 0;
      for (size_t position = first; position < tokens.size(); ++position) {
        hash = mix_bits(hash * 31 + entry(position, tokens[position]));
      }
    }
    write_logits(hash, out);
  }

  Result<StepOutput> run(const StepInput& input) override {
    if (before_run) before_run(input);
    if (fail_next_runs > 0) {
      --fail_next_runs;
      return fail(ErrorCode::device_lost, "the fake device was told to fail");
    }
    if (Result<void> contract = check(input); !contract) return pass_on(contract);
    ++steps;
    tokens_computed += input.token_ids.size();
    for (const SequenceInput& sequence : input.sequences) store(input, sequence);
    logits_.assign(input.logit_rows.size() * vocabulary_, 0);
    for (size_t row = 0; row < input.logit_rows.size(); ++row) {
      attend(input, input.logit_rows[row], std::span(logits_).subspan(row * vocabulary_, vocabulary_));
    }
    return StepOutput{logits_};
  }

  /// Called on the engine's thread at the start of each step.
  std::function<void(const StepInput&)> before_run;
  std::atomic<int> fail_next_runs = 0;
  std::atomic<uint64_t> steps = 0;
  std::atomic<uint64_t> tokens_computed = 0;

 private:
  static constexpr uint64_t kNothing = 0xdeadbeef;

  static uint64_t entry(size_t position, int32_t token) {
    return mix_bits(position << 32 | static_cast<uint32_t>(token));
  }

  static void write_logits(uint64_t hash, std::span<float> out) {
    for (size_t token = 0; token < out.size(); ++token) {
      out[token] = static_cast<float>(mix_bits(hash + token) >> 40) * 0x1p-22F;  // [0, 4)
    }
  }

  Result<void> check(const StepInput& input) const {
    auto broken = [](const char* what) { return fail(ErrorCode::internal, what); };
    if (input.token_ids.empty()) return broken("a step without tokens");
    if (input.token_ids.size() > limits_.tokens) return broken("more tokens than the limit");
    if (input.sequences.size() > limits_.sequences) return broken("more sequences than the limit");
    if (input.logit_rows.size() > limits_.logit_rows) return broken("more rows of logits than the limit");
    uint32_t next = 0;
    for (const SequenceInput& sequence : input.sequences) {
      if (sequence.first_token != next || sequence.token_count == 0) return broken("sequences leave a gap");
      next += sequence.token_count;
      if (sequence.block_tables.size() != groups_.size()) return broken("not a table for each group");
      for (const auto table : sequence.block_tables) {
        if (table.size() * kBlockTokens < sequence.context_tokens + sequence.token_count) return broken("short table");
      }
    }
    if (next != input.token_ids.size()) return broken("sequences do not cover the tokens");
    for (size_t i = 1; i < input.logit_rows.size(); ++i) {
      if (input.logit_rows[i] <= input.logit_rows[i - 1]) return broken("rows of logits are not ascending");
    }
    return {};
  }

  uint64_t& slot(const SequenceInput& sequence, size_t group, uint32_t position) {
    const int32_t block = sequence.block_tables[group][position / kBlockTokens];
    return cache_[group].at(static_cast<size_t>(block) * kBlockTokens + position % kBlockTokens);
  }

  void store(const StepInput& input, const SequenceInput& sequence) {
    for (uint32_t i = 0; i < sequence.token_count; ++i) {
      const uint32_t position = sequence.context_tokens + i;
      for (size_t group = 0; group < groups_.size(); ++group) {
        slot(sequence, group, position) = entry(position, input.token_ids[sequence.first_token + i]);
      }
    }
  }

  void attend(const StepInput& input, uint32_t row, std::span<float> out) {
    const SequenceInput* sequence = input.sequences.data();
    while (row >= sequence->first_token + sequence->token_count) ++sequence;
    const uint32_t size = sequence->context_tokens + row - sequence->first_token + 1;
    uint64_t hash = 0;
    for (size_t group = 0; group < groups_.size(); ++group) {
      const uint32_t window = groups_[group].window;
      for (uint32_t position = window > 0 && size > window ? size - window : 0; position < size; ++position) {
        hash = mix_bits(hash * 31 + slot(*sequence, group, position));
      }
    }
    write_logits(hash, out);
  }

  std::vector<CacheGroup> groups_;
  ProgramLimits limits_;
  uint32_t vocabulary_;
  std::vector<std::vector<uint64_t>> cache_;  ///< [group][block * kBlockTokens + slot]
  std::vector<float> logits_;
};

}  // namespace hearth
