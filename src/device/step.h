#pragma once

#include <cstdint>
#include <span>

namespace hearth {

/// Positions in a block of keys and values, for all layers of a cache group.
inline constexpr uint32_t kBlockTokens = 16;

/// One sequence's share of a step: `token_count` consecutive rows of the batch from `first_token` on, at the positions
/// context_tokens .. context_tokens + token_count - 1.
struct SequenceInput {
  uint32_t first_token = 0;
  uint32_t token_count = 0;
  uint32_t context_tokens = 0;  ///< tokens whose K and V are in the cache before the step
  /// For each cache group, block numbers by position / kBlockTokens, long enough for this step's last position.
  /// Blocks that slid out of a window are -1 and never read. For groups of states two numbers: the block that holds the
  /// state before the step, -1 where the sequence begins and its state is all zeros; and the one that gets the state
  /// after the step, the same one or another.
  std::span<const std::span<const int32_t>> block_tables;
};

/// A token of the vocabulary and its logit.
struct TokenLogit {
  int32_t token = 0;
  float logit = 0.0F;
};

/// Most candidates of a row of logits.
inline constexpr uint32_t kMaxCandidates = 64;

/// What changes from step to step. Program says how long the spans must stay as they are.
struct StepInput {
  /// [tokens]. A negative id stands for a token that only the device knows (best_of_row), in programs that run ahead.
  std::span<const int32_t> token_ids;
  std::span<const SequenceInput> sequences;  ///< cover token_ids without gaps, in order
  std::span<const uint32_t> logit_rows;      ///< rows of token_ids whose logits are wanted, ascending; may be empty
  /// For each of logit_rows how many of its best logits are enough, at most kMaxCandidates; 0 wants the whole row.
  /// Empty wants all rows whole.
  std::span<const uint32_t> candidates;
  /// For each of Recording::inputs its rows [rows, width].
  std::span<const std::span<const float>> activations;

  uint32_t candidates_of(size_t row) const { return candidates.empty() ? 0 : candidates[row]; }

  /// The token id that stands for the best candidate of logit_rows[row] of the step before.
  static constexpr int32_t best_of_row(uint32_t row) { return -1 - static_cast<int32_t>(row); }
  static constexpr uint32_t row_of_best(int32_t token_id) { return static_cast<uint32_t>(-1 - token_id); }
};

/// Results of a step, valid until the program's next submit.
struct StepOutput {
  /// [rows that were wanted whole, vocabulary], in the order of logit_rows.
  std::span<const float> logits;
  /// Of the other rows, one after another, as many as were asked for, the best first and of equals the lower token. NaN
  /// and -infinity are no candidates: where a row has too few others, token -1 fills it up.
  std::span<const TokenLogit> candidates;
  /// For each of Recording::outputs its rows [rows, width].
  std::span<const std::span<const float>> activations;
  bool waited_for_weights = false;  ///< so that its time says nothing of other steps
};

}  // namespace hearth
