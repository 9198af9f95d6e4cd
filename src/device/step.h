#pragma once

#include <cstdint>
#include <span>

namespace hearth {

/// Tokens of one KV block. A block holds these positions for all layers of a cache group.
inline constexpr uint32_t kBlockTokens = 16;

/// One sequence's share of a step: `token_count` consecutive rows of the batch from `first_token` on, at the positions
/// context_tokens .. context_tokens + token_count - 1.
struct SequenceInput {
  uint32_t first_token = 0;
  uint32_t token_count = 0;
  uint32_t context_tokens = 0;  ///< tokens whose K and V are in the cache before the step
  /// For each cache group, block numbers by position / kBlockTokens, long enough for this step's last position.
  /// Blocks that slid out of a window are -1 and never read.
  std::span<const std::span<const int32_t>> block_tables;
};

/// What changes from step to step. The spans must stay valid while the step runs.
struct StepInput {
  std::span<const int32_t> token_ids;        ///< [tokens]
  std::span<const SequenceInput> sequences;  ///< cover token_ids without gaps, in order
  std::span<const uint32_t> logit_rows;      ///< rows of token_ids whose logits are wanted, ascending; may be empty
};

/// Results of a step, valid until the program's next run.
struct StepOutput {
  std::span<const float> logits;  ///< [logit_rows, vocabulary]
};

}  // namespace hearth
