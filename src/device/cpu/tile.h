#pragma once

#include <cstddef>
#include <cstdint>

namespace hearth::cpu {

// Weights lie in tiles of 16 rows, and a tile in blocks of 32 columns, one after the other along the columns. A vector
// register holds 16 rows x 4 consecutive columns of bytes (or 8 rows, the first or second half), which is what one
// packed dot product multiplies with 4 activations repeated in all lanes.

inline constexpr unsigned kTileRows = 16;
inline constexpr unsigned kBlockCols = 32;
inline constexpr unsigned kQuadsPerBlock = kBlockCols / 4;

enum class TileEncoding : uint8_t { q4, q4_min, q5, q5_min, q8, e2m1, q4_k, q5_k, q6_k, f16, bf16, f32 };
inline constexpr unsigned kTileEncodingCount = 12;

/// Where the factors of a block come from.
enum class ScaleKind : uint8_t {
  none,     ///< plain floats
  f16,      ///< f16 scale[16]
  f16_min,  ///< f16 scale[16], f16 minimum[16]
  bf16,     ///< bf16 scale[16], where nibbles are codes of e2m1 numbers
  k_min,    ///< u8 scale[16], u8 minimum[16]; the group's header has their f16 factors [16] each
  k_half,   ///< s8 scale[16] of the first 16 columns, s8 scale[16] of the others; the header has the f16 factor [16]
};

/// A tile is groups of a header and `group_blocks` blocks. A block is the low bits, the high bits, the scales:
///   4 to 6 bits  64 bytes for each pair of quads (q, q + 4): byte 4 * row + i holds column 4q + i in its low nibble
///                and column 4(q + 4) + i in its high nibble
///   5th bits     64 bytes: bit q of byte 4 * row + i belongs to column 4q + i
///   5th and 6th  2 x 64 bytes: bits 2(q % 4) and 2(q % 4) + 1 of byte 4 * row + i of plane q / 4
///   8 bits       64 bytes for each quad: byte 4 * row + i is column 4q + i, plus 128
///   floats       16 rows for each column
struct TileLayout {
  unsigned bits;  ///< of an integer weight, for e2m1 of twice the number plus `zero`; of a float otherwise
  ScaleKind scale;
  unsigned zero;  ///< what an integer weight of value 0 is stored as
  unsigned group_blocks;
  unsigned header_bytes;
  unsigned low_bytes;
  unsigned high_bytes;
  unsigned scale_bytes;

  constexpr unsigned block_bytes() const { return low_bytes + high_bytes + scale_bytes; }
  constexpr unsigned group_bytes() const { return header_bytes + group_blocks * block_bytes(); }
  constexpr unsigned group_cols() const { return group_blocks * kBlockCols; }
  constexpr bool is_e2m1() const { return scale == ScaleKind::bf16; }
  constexpr bool is_integer() const { return scale != ScaleKind::none; }
  constexpr bool has_minimum() const { return scale == ScaleKind::f16_min || scale == ScaleKind::k_min; }
};

constexpr TileLayout tile_layout(TileEncoding encoding) {
  switch (encoding) {
    case TileEncoding::q4:
      return {4, ScaleKind::f16, 8, 1, 0, 256, 0, 32};
    case TileEncoding::q4_min:
      return {4, ScaleKind::f16_min, 0, 1, 0, 256, 0, 64};
    case TileEncoding::q5:
      return {5, ScaleKind::f16, 16, 1, 0, 256, 64, 32};
    case TileEncoding::q5_min:
      return {5, ScaleKind::f16_min, 0, 1, 0, 256, 64, 64};
    case TileEncoding::q8:
      return {8, ScaleKind::f16, 128, 1, 0, 512, 0, 32};
    case TileEncoding::e2m1:
      return {5, ScaleKind::bf16, 16, 1, 0, 256, 0, 32};
    case TileEncoding::q4_k:
      return {4, ScaleKind::k_min, 0, 8, 64, 256, 0, 32};
    case TileEncoding::q5_k:
      return {5, ScaleKind::k_min, 0, 8, 64, 256, 64, 32};
    case TileEncoding::q6_k:
      return {6, ScaleKind::k_half, 32, 8, 32, 256, 128, 32};
    case TileEncoding::f16:
    case TileEncoding::bf16:
      return {16, ScaleKind::none, 0, 1, 0, 2 * kTileRows * kBlockCols, 0, 0};
    case TileEncoding::f32:
      return {32, ScaleKind::none, 0, 1, 0, 4 * kTileRows * kBlockCols, 0, 0};
  }
  return {};
}

/// Groups along `cols` columns; the last one is padded with zeros.
constexpr size_t tile_groups(const TileLayout& layout, size_t cols) {
  return (cols + layout.group_cols() - 1) / layout.group_cols();
}

}  // namespace hearth::cpu
