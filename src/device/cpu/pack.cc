#include "device/cpu/pack.h"

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>
#include <vector>

#include "tensor/blocks.h"
#include "tensor/float16.h"

namespace hearth::cpu {
namespace {

// Words are four bytes in memory order, read as little-endian numbers so that shifts act on each byte.
static_assert(std::endian::native == std::endian::little);

uint32_t load_word(const void* p, unsigned index) {
  uint32_t word;
  std::memcpy(&word, static_cast<const std::byte*>(p) + 4 * index, sizeof(word));
  return word;
}

void store_word(std::byte* p, uint32_t word) { std::memcpy(p, &word, sizeof(word)); }

/// One row's share of one block in a tile.
template <TileEncoding kEncoding>
struct RowInBlock {
  static constexpr TileLayout kLayout = tile_layout(kEncoding);
  std::byte* block;
  unsigned row;

  void low(unsigned plane, uint32_t word) const { store_word(block + plane * 64 + row * 4, word); }
  void high(unsigned plane, uint32_t word) const { store_word(block + kLayout.low_bytes + plane * 64 + row * 4, word); }
  /// Of f16 or bf16.
  void half_scale(unsigned index, uint16_t half) const {
    std::memcpy(scales() + (index * kTileRows + row) * sizeof(half), &half, sizeof(half));
  }
  void byte_scale(unsigned index, uint8_t byte) const { scales()[index * kTileRows + row] = std::byte{byte}; }

 private:
  std::byte* scales() const { return block + kLayout.low_bytes + kLayout.high_bytes; }
};

/// Nibbles of one part of 32 in one half of each byte of 32 bytes, to nibble pairs of quads (q, q + 4).
uint32_t pair_nibbles(const uint8_t* bytes, unsigned quad, unsigned shift) {
  const uint32_t low = load_word(bytes, quad) >> shift & 0x0f0f0f0f;
  const uint32_t high = load_word(bytes, quad + 4) >> shift & 0x0f0f0f0f;
  return low | high << 4;
}

/// Bit k of `bits` belongs to value k; byte i of the result has those of values 4q + i as its bits q.
uint32_t spread_fifth_bits(uint32_t bits) {
  uint32_t word = 0;
  for (unsigned i = 0; i < 4; ++i) {
    uint32_t x = bits >> i & 0x11111111;
    x = (x | x >> 3) & 0x03030303;
    x = (x | x >> 6) & 0x000f000f;
    x = (x | x >> 12) & 0xff;
    word |= x << (8 * i);
  }
  return word;
}

void pack_nibbles(const auto& from, const auto& to) {
  for (unsigned q = 0; q < 4; ++q) to.low(q, load_word(from.nibbles, q));
}

void pack_block(const BlockQ4_0& from, unsigned row, std::byte* group) {
  const RowInBlock<TileEncoding::q4> to{group, row};
  pack_nibbles(from, to);
  to.half_scale(0, from.scale);
}

void pack_block(const BlockQ4_1& from, unsigned row, std::byte* group) {
  const RowInBlock<TileEncoding::q4_min> to{group, row};
  pack_nibbles(from, to);
  to.half_scale(0, from.scale);
  to.half_scale(1, from.minimum);
}

void pack_block(const BlockQ5_0& from, unsigned row, std::byte* group) {
  const RowInBlock<TileEncoding::q5> to{group, row};
  pack_nibbles(from, to);
  to.high(0, spread_fifth_bits(load_word(from.fifth_bits, 0)));
  to.half_scale(0, from.scale);
}

void pack_block(const BlockQ5_1& from, unsigned row, std::byte* group) {
  const RowInBlock<TileEncoding::q5_min> to{group, row};
  pack_nibbles(from, to);
  to.high(0, spread_fifth_bits(load_word(from.fifth_bits, 0)));
  to.half_scale(0, from.scale);
  to.half_scale(1, from.minimum);
}

void pack_block(const BlockQ8_0& from, unsigned row, std::byte* group) {
  const RowInBlock<TileEncoding::q8> to{group, row};
  for (unsigned q = 0; q < kQuadsPerBlock; ++q) to.low(q, load_word(from.values, q) ^ 0x80808080);
  to.half_scale(0, from.scale);
}

void pack_block(const BlockMxfp4& from, unsigned row, std::byte* group) {
  const RowInBlock<TileEncoding::e2m1> to{group, row};
  pack_nibbles(from, to);
  to.half_scale(0, f32_to_bf16(scale_of_doubled_e2m1(from.exponent)));
}

/// Header, nibbles and scales of q4_k and q5_k; `extra(part, to)` adds what else a part has.
template <TileEncoding kEncoding>
void pack_k_min(const auto& from, unsigned row, std::byte* group, auto&& extra) {
  constexpr TileLayout kLayout = tile_layout(kEncoding);
  std::memcpy(group + row * 2, &from.scale, 2);
  std::memcpy(group + (kTileRows + row) * 2, &from.minimum, 2);
  for (unsigned part = 0; part < kLayout.group_blocks; ++part) {
    const RowInBlock<kEncoding> to{group + kLayout.header_bytes + part * kLayout.block_bytes(), row};
    for (unsigned q = 0; q < 4; ++q) to.low(q, pair_nibbles(from.nibbles + part / 2 * 32, q, part % 2 * 4));
    const PartScale scale = unpack_part_scale(from.part_scales, part);
    to.byte_scale(0, scale.scale);
    to.byte_scale(1, scale.minimum);
    extra(part, to);
  }
}

void pack_block(const BlockQ4_K& from, unsigned row, std::byte* group) {
  pack_k_min<TileEncoding::q4_k>(from, row, group, [](unsigned, const auto&) {});
}

void pack_block(const BlockQ5_K& from, unsigned row, std::byte* group) {
  pack_k_min<TileEncoding::q5_k>(from, row, group, [&](unsigned part, const auto& to) {
    uint32_t word = 0;
    for (unsigned q = 0; q < kQuadsPerBlock; ++q) word |= (load_word(from.fifth_bits, q) >> part & 0x01010101) << q;
    to.high(0, word);
  });
}

void pack_block(const BlockQ6_K& from, unsigned row, std::byte* group) {
  constexpr TileLayout kLayout = tile_layout(TileEncoding::q6_k);
  std::memcpy(group + row * 2, &from.scale, 2);
  for (unsigned part = 0; part < kLayout.group_blocks; ++part) {
    const RowInBlock<TileEncoding::q6_k> to{group + kLayout.header_bytes + part * kLayout.block_bytes(), row};
    const unsigned half = part / 4;
    const unsigned quarter = part % 4;
    const uint8_t* low = from.low + 64 * half + quarter % 2 * 32;
    for (unsigned q = 0; q < 4; ++q) to.low(q, pair_nibbles(low, q, quarter / 2 * 4));
    for (unsigned plane = 0; plane < 2; ++plane) {
      uint32_t word = 0;
      for (unsigned q = 0; q < 4; ++q) {
        word |= (load_word(from.high + 32 * half, 4 * plane + q) >> (2 * quarter) & 0x03030303) << (2 * q);
      }
      to.high(plane, word);
    }
    to.byte_scale(0, static_cast<uint8_t>(from.part_scales[2 * part]));
    to.byte_scale(1, static_cast<uint8_t>(from.part_scales[2 * part + 1]));
  }
}

template <class Block>
void pack_blocks(std::span<const std::byte> rows, size_t row_bytes, size_t group_bytes, std::byte* tile) {
  const size_t row_count = rows.size() / row_bytes;
  for (size_t b = 0; b < row_bytes / sizeof(Block); ++b) {
    for (size_t row = 0; row < row_count; ++row) {
      // Where it lies: words of a copy would cross what the copy was stored in, and wait until all of it is in the
      // cache.
      const auto* block = reinterpret_cast<const Block*>(rows.data() + row * row_bytes + b * sizeof(Block));
      pack_block(*block, static_cast<unsigned>(row), tile + b * group_bytes);
    }
  }
}

/// Plain numbers: transposed, a block of columns at a time so that what is written stays in the cache.
template <class Bits>
void pack_plain(std::span<const std::byte> rows, size_t cols, std::byte* tile) {
  const size_t row_count = rows.size() / (cols * sizeof(Bits));
  for (size_t begin = 0; begin < cols; begin += kBlockCols) {
    const size_t end = std::min(cols, begin + kBlockCols);
    for (size_t row = 0; row < row_count; ++row) {
      const std::byte* from = rows.data() + row * cols * sizeof(Bits);
      for (size_t col = begin; col < end; ++col) {
        std::memcpy(tile + (col * kTileRows + row) * sizeof(Bits), from + col * sizeof(Bits), sizeof(Bits));
      }
    }
  }
}

float load_f16(const std::byte* p, unsigned index) {
  uint16_t half;
  std::memcpy(&half, p + 2 * index, sizeof(half));
  return f16_to_f32(half);
}

/// The integer that stands for column `col` < 32 of a row.
unsigned stored_weight(const TileLayout& layout, const std::byte* block, unsigned row, unsigned col) {
  const unsigned quad = col / 4;
  const unsigned byte = 4 * row + col % 4;
  const auto at = [&](unsigned offset) { return std::to_integer<unsigned>(block[offset + byte]); };
  if (layout.bits == 8) return at(quad * 64);
  unsigned w = at(quad % 4 * 64) >> (quad / 4 * 4) & 15;
  if (layout.is_e2m1()) return static_cast<unsigned>(kDoubledE2m1[w] + static_cast<int>(layout.zero));
  if (layout.bits == 5) w |= (at(layout.low_bytes) >> quad & 1) << 4;
  if (layout.bits == 6) w |= (at(layout.low_bytes + quad / 4 * 64) >> (quad % 4 * 2) & 3) << 4;
  return w;
}

struct RowFactors {
  float scale[2];  ///< of the two halves of a block
  float minimum;
};

RowFactors row_factors(const TileLayout& layout, const std::byte* group, const std::byte* block, unsigned row) {
  const std::byte* scales = block + layout.low_bytes + layout.high_bytes;
  const auto byte = [&](unsigned index) { return std::to_integer<uint8_t>(scales[index * kTileRows + row]); };
  switch (layout.scale) {
    case ScaleKind::f16:
    case ScaleKind::f16_min: {
      const float scale = load_f16(scales, row);
      return {{scale, scale}, layout.has_minimum() ? load_f16(scales, kTileRows + row) : 0.0F};
    }
    case ScaleKind::bf16: {
      uint16_t bits;
      std::memcpy(&bits, scales + row * sizeof(bits), sizeof(bits));
      return {{bf16_to_f32(bits), bf16_to_f32(bits)}, 0.0F};
    }
    case ScaleKind::k_min: {
      const float scale = load_f16(group, row) * static_cast<float>(byte(0));
      return {{scale, scale}, -load_f16(group, kTileRows + row) * static_cast<float>(byte(1))};
    }
    case ScaleKind::k_half: {
      const float scale = load_f16(group, row);
      const auto part = [&](unsigned half) { return scale * static_cast<float>(static_cast<int8_t>(byte(half))); };
      return {{part(0), part(1)}, 0.0F};
    }
    case ScaleKind::none:
      break;
  }
  return {};
}

void unpack_integers(const TileLayout& layout, const std::byte* tile, unsigned row, std::span<float> out) {
  for (size_t first = 0; first < out.size(); first += kBlockCols) {
    const size_t index = first / kBlockCols;
    const std::byte* group = tile + index / layout.group_blocks * layout.group_bytes();
    const std::byte* block = group + layout.header_bytes + index % layout.group_blocks * layout.block_bytes();
    const RowFactors factors = row_factors(layout, group, block, row);
    for (unsigned col = 0; col < kBlockCols; ++col) {
      const int q = static_cast<int>(stored_weight(layout, block, row, col)) - static_cast<int>(layout.zero);
      out[first + col] = factors.scale[col / 16] * static_cast<float>(q) + factors.minimum;
    }
  }
}

}  // namespace

std::optional<TileEncoding> tile_encoding(NumberFormat format) {
  switch (format) {
    case NumberFormat::f32:
      return TileEncoding::f32;
    case NumberFormat::f16:
      return TileEncoding::f16;
    case NumberFormat::bf16:
      return TileEncoding::bf16;
    case NumberFormat::q4_0:
      return TileEncoding::q4;
    case NumberFormat::q4_1:
      return TileEncoding::q4_min;
    case NumberFormat::q5_0:
      return TileEncoding::q5;
    case NumberFormat::q5_1:
      return TileEncoding::q5_min;
    case NumberFormat::q8_0:
      return TileEncoding::q8;
    case NumberFormat::q4_k:
      return TileEncoding::q4_k;
    case NumberFormat::q5_k:
      return TileEncoding::q5_k;
    case NumberFormat::q6_k:
      return TileEncoding::q6_k;
    case NumberFormat::mxfp4:
      return TileEncoding::e2m1;
    default:  // formats of files only, and integers that are no weights
      break;
  }
  return std::nullopt;
}

void pack_tile(NumberFormat format, std::span<const std::byte> rows, size_t cols, std::byte* tile) {
  std::vector<std::byte> aligned;
  if (reinterpret_cast<uintptr_t>(rows.data()) % alignof(uint16_t) != 0) {
    aligned.assign(rows.begin(), rows.end());  // blocks hold halves
    rows = aligned;
  }
  const size_t row_bytes = bytes_of(format, cols);
  const TileLayout layout = tile_layout(*tile_encoding(format));
  const size_t group_bytes = layout.group_bytes();
  const bool has_padding = rows.size() < kTileRows * row_bytes || cols % layout.group_cols() != 0;
  if (has_padding) std::memset(tile, 0, tile_groups(layout, cols) * group_bytes);
  switch (format) {
    case NumberFormat::f32:
      return pack_plain<uint32_t>(rows, cols, tile);
    case NumberFormat::f16:
    case NumberFormat::bf16:
      return pack_plain<uint16_t>(rows, cols, tile);
    case NumberFormat::q4_0:
      return pack_blocks<BlockQ4_0>(rows, row_bytes, group_bytes, tile);
    case NumberFormat::q4_1:
      return pack_blocks<BlockQ4_1>(rows, row_bytes, group_bytes, tile);
    case NumberFormat::q5_0:
      return pack_blocks<BlockQ5_0>(rows, row_bytes, group_bytes, tile);
    case NumberFormat::q5_1:
      return pack_blocks<BlockQ5_1>(rows, row_bytes, group_bytes, tile);
    case NumberFormat::q8_0:
      return pack_blocks<BlockQ8_0>(rows, row_bytes, group_bytes, tile);
    case NumberFormat::q4_k:
      return pack_blocks<BlockQ4_K>(rows, row_bytes, group_bytes, tile);
    case NumberFormat::q5_k:
      return pack_blocks<BlockQ5_K>(rows, row_bytes, group_bytes, tile);
    case NumberFormat::q6_k:
      return pack_blocks<BlockQ6_K>(rows, row_bytes, group_bytes, tile);
    case NumberFormat::mxfp4:
      return pack_blocks<BlockMxfp4>(rows, row_bytes, group_bytes, tile);
    default:  // which have no tile_encoding
      return;
  }
}

void unpack_tile_row(TileEncoding encoding, const std::byte* tile, unsigned row, std::span<float> out) {
  const TileLayout layout = tile_layout(encoding);
  if (layout.is_integer()) return unpack_integers(layout, tile, row, out);
  for (size_t col = 0; col < out.size(); ++col) {
    const size_t index = col * kTileRows + row;
    if (encoding == TileEncoding::f32) {
      std::memcpy(&out[col], tile + index * sizeof(float), sizeof(float));
    } else {
      uint16_t bits;
      std::memcpy(&bits, tile + index * sizeof(bits), sizeof(bits));
      out[col] = encoding == TileEncoding::f16 ? f16_to_f32(bits) : bf16_to_f32(bits);
    }
  }
}

}  // namespace hearth::cpu
