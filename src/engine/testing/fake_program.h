#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <span>
#include <thread>
#include <vector>

#include "device/device.h"
#include "engine/sampling/random.h"
#include "model/model.h"

namespace hearth {

/// A step of its own memory, as a device has it after submit.
class StepCopy {
 public:
  explicit StepCopy(const StepInput& input)
      : token_ids_(input.token_ids.begin(), input.token_ids.end()),
        sequences_(input.sequences.begin(), input.sequences.end()),
        logit_rows_(input.logit_rows.begin(), input.logit_rows.end()),
        candidates_(input.candidates.begin(), input.candidates.end()),
        tables_(input.sequences.size()),
        views_(input.sequences.size()) {
    for (size_t s = 0; s < sequences_.size(); ++s) {
      for (const auto table : sequences_[s].block_tables) tables_[s].emplace_back(table.begin(), table.end());
      views_[s].assign(tables_[s].begin(), tables_[s].end());
      sequences_[s].block_tables = views_[s];
    }
    input_ = {token_ids_, sequences_, logit_rows_, candidates_};
  }
  StepCopy(const StepCopy&) = delete;
  StepCopy& operator=(const StepCopy&) = delete;

  const StepInput& input() const { return input_; }
  bool wants_whole_rows() const { return std::ranges::find(candidates_, 0U) != candidates_.end(); }

  /// Puts the best tokens of the step before in their places.
  void replace_best(std::span<const int32_t> best) {
    for (int32_t& id : token_ids_) {
      if (id < 0 && StepInput::row_of_best(id) < best.size()) id = best[StepInput::row_of_best(id)];
    }
  }

 private:
  std::vector<int32_t> token_ids_;
  std::vector<SequenceInput> sequences_;
  std::vector<uint32_t> logit_rows_, candidates_;
  std::vector<std::vector<std::vector<int32_t>>> tables_;  ///< [sequence][group][block]
  std::vector<std::vector<std::span<const int32_t>>> views_;
  StepInput input_;
};

/// A forward pass that anybody can redo by hand: it writes each token into every group's cache at its position, reads
/// back what attention would see, and makes logits of a hash of that; a state is a hash of all tokens. A wrong block,
/// slot, position or a stale value gives other logits. It also checks the contract of step.h.
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
      if (group.keeps_states) {
        uint64_t state = 0;
        for (size_t position = 0; position < tokens.size(); ++position) {
          state = next_state(state, entry(position, tokens[position]));
        }
        hash = mix_bits(hash * 31 + state);
        continue;
      }
      const size_t first = group.window > 0 && tokens.size() > group.window ? tokens.size() - group.window : 0;
      for (size_t position = first; position < tokens.size(); ++position) {
        hash = mix_bits(hash * 31 + entry(position, tokens[position]));
      }
    }
    write_logits(hash, out);
  }

  bool runs_ahead() const override { return ahead; }

  std::vector<double> expected_seconds(std::span<const uint32_t> tokens) override {
    if (expectations++ == 0) expected_of.assign(tokens.begin(), tokens.end());
    return {};
  }

  Result<bool> tune(const std::function<bool()>& is_interrupted) override {
    if (!in_flight_.empty()) ++tuned_beside_steps;
    return on_tune ? on_tune(is_interrupted) : Result<bool>(false);
  }

  Result<void> submit(const StepInput& input) override {
    if (in_flight_.size() > (ahead ? 1 : 0)) return fail(ErrorCode::internal, "too many steps in flight");
    if (!in_flight_.empty() && in_flight_.front()->wants_whole_rows()) {
      return fail(ErrorCode::internal, "a step was submitted while whole rows are in flight");
    }
    if (in_flight_.size() == 1 && fail_next_submits_ahead > 0) {
      --fail_next_submits_ahead;
      return fail(ErrorCode::device_lost, "the fake device was lost while it worked");
    }
    in_flight_.push_back(std::make_unique<StepCopy>(input));
    steps_ahead += in_flight_.size() - 1;
    return {};
  }

  /// Computes as late as a device may: the cache is written when the host has long gone on.
  Result<StepOutput> wait() override {
    if (in_flight_.empty()) return fail(ErrorCode::internal, "no step is in flight");
    const std::unique_ptr<StepCopy> step = std::move(in_flight_.front());
    in_flight_.pop_front();
    step->replace_best(best_);
    best_.clear();
    const StepInput& input = step->input();
    if (before_run) before_run(input);
    if (fail_next_runs > 0) {
      --fail_next_runs;
      return fail(failure, "the fake device was told to fail");
    }
    if (Result<void> contract = check(input); !contract) return pass_on(contract);
    ++steps;
    tokens_computed += input.token_ids.size();
    for (const SequenceInput& sequence : input.sequences) store(input, sequence);
    make_output(input);
    return StepOutput{logits_, candidates_};
  }

  /// Called on the engine's thread when a step is computed.
  std::function<void(const StepInput&)> before_run;
  /// Called on the engine's thread for tune; to be set before the engine starts.
  std::function<Result<bool>(const std::function<bool()>&)> on_tune;
  std::atomic<int> fail_next_runs = 0;
  ErrorCode failure = ErrorCode::device_lost;  ///< of those runs
  std::atomic<int> fail_next_submits_ahead = 0;
  std::atomic<uint64_t> steps = 0;
  std::atomic<uint64_t> steps_ahead = 0;  ///< submitted while another was in flight
  std::atomic<uint64_t> tokens_computed = 0;
  bool ahead = false;                       ///< as runs_ahead() says; to be set before the engine starts
  std::vector<uint32_t> expected_of;        ///< the sizes of steps that were asked for when the engine was made
  std::atomic<int> expectations = 0;        ///< times that they were asked for
  std::atomic<int> tuned_beside_steps = 0;  ///< times that it was tuned with a step in flight

 private:
  static constexpr uint64_t kNothing = 0xdeadbeef;

  static uint64_t entry(size_t position, int32_t token) {
    return mix_bits(position << 32 | static_cast<uint32_t>(token));
  }

  static uint64_t next_state(uint64_t state, uint64_t entry) { return mix_bits(state * 31 + entry); }

  static void write_logits(uint64_t hash, std::span<float> out) {
    for (size_t token = 0; token < out.size(); ++token) {
      out[token] = static_cast<float>(mix_bits(hash + token) >> 40) * 0x1p-22F;  // [0, 4)
    }
  }

  Result<void> check(const StepInput& input) const {
    auto broken = [](const char* what) { return fail(ErrorCode::internal, what); };
    if (input.token_ids.empty()) return broken("a step without tokens");
    if (std::ranges::min(input.token_ids) < 0) return broken("a token that nobody knows");
    if (input.candidates.size() != input.logit_rows.size()) return broken("not a count for each row of logits");
    if (input.token_ids.size() > limits_.tokens) return broken("more tokens than the limit");
    if (input.sequences.size() > limits_.sequences) return broken("more sequences than the limit");
    if (input.logit_rows.size() > limits_.logit_rows) return broken("more rows of logits than the limit");
    uint32_t next = 0;
    for (const SequenceInput& sequence : input.sequences) {
      if (sequence.first_token != next || sequence.token_count == 0) return broken("sequences leave a gap");
      next += sequence.token_count;
      if (sequence.block_tables.size() != groups_.size()) return broken("not a table for each group");
      for (size_t group = 0; group < groups_.size(); ++group) {
        const auto table = sequence.block_tables[group];
        if (groups_[group].keeps_states) {
          if (table.size() != 2 || (table[0] < 0) != (sequence.context_tokens == 0)) return broken("not two states");
          continue;
        }
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
    for (size_t group = 0; group < groups_.size(); ++group) {
      if (groups_[group].keeps_states) go_on(input, sequence, group);
    }
    for (uint32_t i = 0; i < sequence.token_count; ++i) {
      const uint32_t position = sequence.context_tokens + i;
      for (size_t group = 0; group < groups_.size(); ++group) {
        if (groups_[group].keeps_states) continue;
        slot(sequence, group, position) = entry(position, input.token_ids[sequence.first_token + i]);
      }
    }
  }

  void go_on(const StepInput& input, const SequenceInput& sequence, size_t group) {
    const auto table = sequence.block_tables[group];
    const auto block = [&](int32_t number) -> uint64_t& { return cache_[group].at(size_t(number) * kBlockTokens); };
    uint64_t state = table[0] < 0 ? 0 : block(table[0]);
    states_.resize(input.token_ids.size());
    for (uint32_t row = sequence.first_token; row < sequence.first_token + sequence.token_count; ++row) {
      const uint32_t position = sequence.context_tokens + row - sequence.first_token;
      states_[row] = state = next_state(state, entry(position, input.token_ids[row]));
    }
    block(table[1]) = state;
  }

  void attend(const StepInput& input, uint32_t row, std::span<float> out) {
    const SequenceInput* sequence = input.sequences.data();
    while (row >= sequence->first_token + sequence->token_count) ++sequence;
    const uint32_t size = sequence->context_tokens + row - sequence->first_token + 1;
    uint64_t hash = 0;
    for (size_t group = 0; group < groups_.size(); ++group) {
      if (groups_[group].keeps_states) {
        hash = mix_bits(hash * 31 + states_[sequence->first_token + size - 1 - sequence->context_tokens]);
        continue;
      }
      const uint32_t window = groups_[group].window;
      for (uint32_t position = window > 0 && size > window ? size - window : 0; position < size; ++position) {
        hash = mix_bits(hash * 31 + slot(*sequence, group, position));
      }
    }
    write_logits(hash, out);
  }

  void make_output(const StepInput& input) {
    logits_.clear();
    candidates_.clear();
    std::vector<float> row(vocabulary_);
    for (size_t i = 0; i < input.logit_rows.size(); ++i) {
      attend(input, input.logit_rows[i], row);
      std::vector<TokenLogit> sorted(vocabulary_);
      for (uint32_t t = 0; t < vocabulary_; ++t) sorted[t] = {static_cast<int32_t>(t), row[t]};
      std::ranges::stable_sort(sorted, std::greater{}, &TokenLogit::logit);
      best_.push_back(sorted.front().token);
      const uint32_t wanted = input.candidates[i];
      if (wanted == 0) logits_.insert(logits_.end(), row.begin(), row.end());
      sorted.resize(wanted, {-1, 0.0F});
      candidates_.insert(candidates_.end(), sorted.begin(), sorted.end());
    }
  }

  std::vector<CacheGroup> groups_;
  ProgramLimits limits_;
  uint32_t vocabulary_;
  std::vector<std::vector<uint64_t>> cache_;  ///< [group][block * kBlockTokens + slot]
  std::deque<std::unique_ptr<StepCopy>> in_flight_;
  std::vector<uint64_t> states_;  ///< after each token of the step
  std::vector<float> logits_;
  std::vector<TokenLogit> candidates_;
  std::vector<int32_t> best_;  ///< of each row of the step before
};

}  // namespace hearth
