#pragma once

#include <cstddef>
#include <cstdint>

#include "device/cpu/tile.h"

namespace hearth::cpu {

// The input of a matrix product, rearranged so that a kernel reaches all its tokens at constant offsets. A panel is up
// to 16 consecutive tokens; `width` is the same for all panels of a step: min(16, tokens). For each block of 32 columns
// a panel has a record: first what is multiplied, [width][32], then, for integers, the tokens' factors, [width].
//
// Fine panels hold each token twice, side by side: quantised, and what that left over, quantised too. The sum of the
// two products is as exact as with 15-bit activations. The head takes them: its rounding would go straight into the
// logits (it makes a quarter of the divergence from exact activations), and it is bound by its weights' bytes, not by
// products.

inline constexpr unsigned kPanelTokens = 16;

/// What belongs to one token's block of 32 quantised activations.
struct BlockFactors {
  float scale;          ///< value = scale * q
  float scaled_sum;     ///< scale * sum of q, for weights with a minimum
  int32_t minus_8_sum;  ///< -8 * sum of q, for weights whose zero is stored as 8; and so on
  int32_t minus_16_sum;
  int32_t minus_128_sum;
  int32_t minus_32_sum[2];  ///< of the block's two halves
  int32_t unused;
};
static_assert(sizeof(BlockFactors) == 32);

/// A panel as a kernel sees it, beginning at some token of it. Token t's 32 values of a block are at values + 32 * t
/// numbers, its factors at factors[t]; the next block's are record_bytes further on.
struct PanelView {
  const std::byte* values;
  const BlockFactors* factors;  ///< null for floats
  size_t record_bytes;
};

constexpr size_t int8_record_bytes(size_t width) { return width * (kBlockCols + sizeof(BlockFactors)); }
constexpr size_t float_record_bytes(size_t width) { return width * kBlockCols * sizeof(float); }

enum class PanelKind : uint8_t { int8, fine, floats };

/// The panels of one tensor. `base` is 64-byte aligned. Tokens of fine panels count double.
struct Panels {
  std::byte* base = nullptr;
  size_t width = 0;   ///< tokens of a panel
  size_t blocks = 0;  ///< of 32 columns
  bool is_integer = false;

  size_t record_bytes() const { return is_integer ? int8_record_bytes(width) : float_record_bytes(width); }

  /// From `token` on; block 0 is the first record.
  PanelView view(size_t token) const {
    const std::byte* record = base + token / width * blocks * record_bytes();
    const size_t lane = token % width;
    if (!is_integer) return {record + lane * kBlockCols * sizeof(float), nullptr, record_bytes()};
    const auto* factors = reinterpret_cast<const BlockFactors*>(record + width * kBlockCols);
    return {record + lane * kBlockCols, factors + lane, record_bytes()};
  }

  /// Bytes of the panels of `rows` rows of activations.
  static size_t bytes(PanelKind kind, size_t rows, size_t blocks) {
    const size_t tokens = kind == PanelKind::fine ? 2 * rows : rows;
    const size_t padded = (tokens + kPanelTokens - 1) / kPanelTokens * kPanelTokens;
    return blocks * (kind == PanelKind::floats ? float_record_bytes(padded) : int8_record_bytes(padded));
  }
};

}  // namespace hearth::cpu
