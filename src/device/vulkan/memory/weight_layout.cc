#include "device/vulkan/memory/weight_layout.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

#include "device/vulkan/shaders/layout.h"
#include "tensor/blocks.h"
#include "tensor/float16.h"

namespace hearth::vulkan {
namespace {

using namespace shared;

constexpr uint64_t kPlaneAlignment = 256;

uint64_t align(uint64_t offset) { return (offset + kPlaneAlignment - 1) / kPlaneAlignment * kPlaneAlignment; }

uint32_t units_of(uint32_t encoding) {
  switch (encoding) {
    case kEncodingF32:
      return 8;
    case kEncodingF16:
    case kEncodingBf16:
      return 4;
    case kEncodingQ8_0:
      return 2;
    default:
      return 1;
  }
}

uint32_t extra_bytes_of_block(uint32_t encoding) {
  switch (encoding) {
    case kEncodingQ5_0:
    case kEncodingQ5_1:
    case kEncodingQ5_K:
      return 4;
    case kEncodingQ6_K:
      return 8;
    default:
      return 0;
  }
}

bool is_k(uint32_t encoding) { return encoding >= kEncodingQ4_K; }
bool has_grouped_scale(uint32_t encoding) { return encoding >= kEncodingQ8_0 && encoding <= kEncodingMxfp4; }
bool has_grouped_minimum(uint32_t encoding) { return encoding == kEncodingQ4_1 || encoding == kEncodingQ5_1; }

template <class T>
void store(std::vector<std::byte>& bytes, uint64_t offset, const T& value) {
  std::memcpy(bytes.data() + offset, &value, sizeof(T));
}

template <class T>
T load(std::span<const std::byte> bytes, uint64_t offset) {
  T value;
  std::memcpy(&value, bytes.data() + offset, sizeof(T));
  return value;
}

float widened(uint32_t encoding, uint16_t bits) {
  return encoding == kEncodingF16 ? f16_to_f32(bits) : bf16_to_f32(bits);
}

/// The power of two of a row in f16 or bf16 (layout.h).
float power_of_row(uint32_t encoding, std::span<const std::byte> row) {
  const uint16_t infinity = encoding == kEncodingF16 ? 0x7c00 : 0x7f80;
  int16_t largest = 0;  // signed: what a vector unit has a maximum of
  for (size_t at = 0; at < row.size(); at += 2) {
    const auto bits = static_cast<int16_t>(load<uint16_t>(row, at) & 0x7fff);
    largest = std::max(largest, bits < infinity ? bits : int16_t{0});
  }
  if (largest == 0) return 1;
  const int exponent = std::ilogb(widened(encoding, static_cast<uint16_t>(largest)));
  return std::ldexp(1.0F, std::min(14 - exponent, encoding == kEncodingF16 ? 15 : 126));
}

/// Packs some rows: holds the planes' pieces and knows where a block's parts go.
class RowPacker {
 public:
  RowPacker(const WeightLayout& layout, uint32_t first_row, uint32_t rows)
      : blocks_(layout.blocks()), units_(units_of(layout.encoding)), extra_(extra_bytes_of_block(layout.encoding)) {
    quants.offset = uint64_t{first_row} * units_ * blocks_ * 16;
    quants.bytes.resize(uint64_t{rows} * units_ * blocks_ * 16);
    extra.offset = layout.extra_offset + uint64_t{first_row} * blocks_ * extra_;
    extra.bytes.resize(uint64_t{rows} * blocks_ * extra_);
    if (uses_split_activations(layout.encoding)) {
      scales.offset = layout.scales_offset + uint64_t{first_row} * 4;
      scales.bytes.resize(uint64_t{rows} * 4);
    } else if (has_grouped_scale(layout.encoding)) {
      const uint64_t group_bytes = uint64_t{blocks_} * 8;
      scales.offset = layout.scales_offset + first_row / 4 * group_bytes;
      scales.bytes.resize((rows + 3) / 4 * group_bytes);
      minimums.offset = layout.minimums_offset + first_row / 4 * group_bytes;
      if (has_grouped_minimum(layout.encoding)) minimums.bytes.resize(scales.bytes.size());
    } else if (is_k(layout.encoding)) {
      scales.offset = layout.scales_offset + uint64_t{first_row} * (blocks_ / 8) * 16;
      scales.bytes.resize(uint64_t{rows} * (blocks_ / 8) * 16);
      minimums.offset = layout.minimums_offset + uint64_t{first_row} * (blocks_ / 8) * 4;
      if (layout.encoding == kEncodingQ6_K) minimums.bytes.resize(uint64_t{rows} * (blocks_ / 8) * 4);
    }
  }

  std::byte* unit(uint32_t row, uint32_t unit, uint32_t block) {
    return quants.bytes.data() + ((uint64_t{row} * units_ + unit) * blocks_ + block) * 16;
  }
  void set_power(uint32_t row, float power) { store(scales.bytes, uint64_t{row} * 4, power); }
  void set_scale(uint32_t row, uint32_t block, uint16_t half) { store(scales.bytes, grouped(row, block), half); }
  void set_minimum(uint32_t row, uint32_t block, uint16_t half) { store(minimums.bytes, grouped(row, block), half); }
  std::byte* extra_of(uint32_t row, uint32_t block) {
    return extra.bytes.data() + (uint64_t{row} * blocks_ + block) * extra_;
  }
  std::byte* header_of(uint32_t row, uint32_t superblock) {
    return scales.bytes.data() + (uint64_t{row} * (blocks_ / 8) + superblock) * 16;
  }

  void set_superblock_scale(uint32_t row, uint32_t superblock, float scale) {
    store(minimums.bytes, (uint64_t{row} * (blocks_ / 8) + superblock) * 4, scale);
  }

  Plane quants, extra, scales, minimums;

 private:
  uint64_t grouped(uint32_t row, uint32_t block) const {
    return ((uint64_t{row / 4} * blocks_ + block) * 4 + row % 4) * 2;
  }

  uint32_t blocks_, units_, extra_;
};

/// Bit 4 of 32 codes in the order in which the shaders spread it.
uint32_t spread_fifth_bits(const uint8_t (&fifth)[32]) {
  uint32_t bits = 0;
  for (uint32_t value = 0; value < 32; ++value) bits |= uint32_t{fifth[value]} << (8 * (value % 4) + value / 4);
  return bits;
}

void pack_fifth_bits(RowPacker& packer, uint32_t row, uint32_t block, const uint8_t (&bits)[4]) {
  uint32_t packed;
  std::memcpy(&packed, bits, 4);
  uint8_t fifth[32];
  for (uint32_t i = 0; i < 32; ++i) fifth[i] = packed >> i & 1;
  const uint32_t spread = spread_fifth_bits(fifth);
  std::memcpy(packer.extra_of(row, block), &spread, 4);
}

void pack_block(RowPacker& packer, uint32_t row, uint32_t block, const BlockQ4_0& from) {
  constexpr uint64_t kSigned = 0x8888888888888888;  // code - 8 in two's complement
  uint64_t halves[2];
  std::memcpy(halves, from.nibbles, 16);
  for (uint64_t& half : halves) half ^= kSigned;
  std::memcpy(packer.unit(row, 0, block), halves, 16);
  packer.set_scale(row, block, from.scale);
}

void pack_block(RowPacker& packer, uint32_t row, uint32_t block, const BlockQ4_1& from) {
  std::memcpy(packer.unit(row, 0, block), from.nibbles, 16);
  packer.set_scale(row, block, from.scale);
  packer.set_minimum(row, block, from.minimum);
}

void pack_block(RowPacker& packer, uint32_t row, uint32_t block, const BlockQ5_0& from) {
  std::memcpy(packer.unit(row, 0, block), from.nibbles, 16);
  packer.set_scale(row, block, from.scale);
  pack_fifth_bits(packer, row, block, from.fifth_bits);
}

void pack_block(RowPacker& packer, uint32_t row, uint32_t block, const BlockQ5_1& from) {
  std::memcpy(packer.unit(row, 0, block), from.nibbles, 16);
  packer.set_scale(row, block, from.scale);
  packer.set_minimum(row, block, from.minimum);
  pack_fifth_bits(packer, row, block, from.fifth_bits);
}

void pack_block(RowPacker& packer, uint32_t row, uint32_t block, const BlockQ8_0& from) {
  std::memcpy(packer.unit(row, 0, block), from.values, 16);
  std::memcpy(packer.unit(row, 1, block), from.values + 16, 16);
  packer.set_scale(row, block, from.scale);
}

void pack_block(RowPacker& packer, uint32_t row, uint32_t block, const BlockMxfp4& from) {
  std::memcpy(packer.unit(row, 0, block), from.nibbles, 16);
  packer.set_scale(row, block, f32_to_bf16(scale_of_doubled_e2m1(from.exponent)));
}

/// Nibbles of part `part` of a k block, in the order of a block of 32.
void pack_part_nibbles(std::byte* unit, const uint8_t (&nibbles)[128], uint32_t part) {
  const uint8_t* from = nibbles + part / 2 * 32;
  const int shift = part % 2 == 0 ? 0 : 4;
  for (uint32_t i = 0; i < 16; ++i) {
    unit[i] = static_cast<std::byte>((from[i] >> shift & 15) | (from[i + 16] >> shift & 15) << 4);
  }
}

void pack_block(RowPacker& packer, uint32_t row, uint32_t superblock, const BlockQ4_K& from) {
  for (uint32_t part = 0; part < 8; ++part) {
    pack_part_nibbles(packer.unit(row, 0, superblock * 8 + part), from.nibbles, part);
  }
  std::memcpy(packer.header_of(row, superblock), &from, 16);
}

void pack_block(RowPacker& packer, uint32_t row, uint32_t superblock, const BlockQ5_K& from) {
  for (uint32_t part = 0; part < 8; ++part) {
    const uint32_t block = superblock * 8 + part;
    pack_part_nibbles(packer.unit(row, 0, block), from.nibbles, part);
    uint8_t fifth[32];
    for (uint32_t i = 0; i < 32; ++i) fifth[i] = from.fifth_bits[i] >> part & 1;
    const uint32_t spread = spread_fifth_bits(fifth);
    std::memcpy(packer.extra_of(row, block), &spread, 4);
  }
  std::memcpy(packer.header_of(row, superblock), &from, 16);
}

void pack_block(RowPacker& packer, uint32_t row, uint32_t superblock, const BlockQ6_K& from) {
  for (uint32_t part = 0; part < 8; ++part) {
    const uint32_t half = part / 4, quarter = part % 4;
    const uint8_t* low = from.low + half * 64 + quarter % 2 * 32;
    const uint8_t* high = from.high + half * 32;
    const int shift = quarter < 2 ? 0 : 4;
    std::byte* unit = packer.unit(row, 0, superblock * 8 + part);
    uint32_t upper[2] = {};
    for (uint32_t i = 0; i < 16; ++i) {
      unit[i] = static_cast<std::byte>((low[i] >> shift & 15) | (low[i + 16] >> shift & 15) << 4);
    }
    for (uint32_t i = 0; i < 32; ++i) {
      const uint32_t bits = high[i] >> (2 * quarter) & 3;
      upper[i / 16] |= bits << (8 * (i % 4) + 2 * (i / 4 % 4));
    }
    std::memcpy(packer.extra_of(row, superblock * 8 + part), upper, 8);
  }
  std::memcpy(packer.header_of(row, superblock), from.part_scales, 16);
  packer.set_superblock_scale(row, superblock, f16_to_f32(from.scale));
}

template <class Block>
void pack_blocks(RowPacker& packer, uint32_t rows, uint32_t blocks, std::span<const std::byte> bytes) {
  for (uint32_t row = 0; row < rows; ++row) {
    for (uint32_t block = 0; block < blocks; ++block) {
      pack_block(packer, row, block, load<Block>(bytes, (uint64_t{row} * blocks + block) * sizeof(Block)));
    }
  }
}

/// Plain formats: a block is `units` consecutive units of 16 bytes.
void pack_plain(RowPacker& packer, uint32_t encoding, uint32_t rows, uint32_t blocks,
                std::span<const std::byte> bytes) {
  const uint32_t units = units_of(encoding);
  const uint64_t row_bytes = uint64_t{blocks} * units * 16;
  const std::byte* from = bytes.data();
  for (uint32_t row = 0; row < rows; ++row) {
    if (uses_split_activations(encoding)) {
      packer.set_power(row, power_of_row(encoding, bytes.subspan(row * row_bytes, row_bytes)));
    }
    for (uint32_t block = 0; block < blocks; ++block) {
      for (uint32_t unit = 0; unit < units; ++unit, from += 16) std::memcpy(packer.unit(row, unit, block), from, 16);
    }
  }
}

}  // namespace

std::optional<uint32_t> encoding_of(NumberFormat format) {
  switch (format) {
    case NumberFormat::f32:
      return kEncodingF32;
    case NumberFormat::f16:
      return kEncodingF16;
    case NumberFormat::bf16:
      return kEncodingBf16;
    case NumberFormat::q8_0:
      return kEncodingQ8_0;
    case NumberFormat::q4_0:
      return kEncodingQ4_0;
    case NumberFormat::q4_1:
      return kEncodingQ4_1;
    case NumberFormat::q5_0:
      return kEncodingQ5_0;
    case NumberFormat::q5_1:
      return kEncodingQ5_1;
    case NumberFormat::q4_k:
      return kEncodingQ4_K;
    case NumberFormat::q5_k:
      return kEncodingQ5_K;
    case NumberFormat::q6_k:
      return kEncodingQ6_K;
    case NumberFormat::mxfp4:
      return kEncodingMxfp4;
    default:  // formats of files only, and integers that are no weights
      return {};
  }
}

bool uses_quantized_activations(uint32_t encoding) { return encoding > kEncodingBf16; }

bool uses_split_activations(uint32_t encoding) { return encoding == kEncodingF16 || encoding == kEncodingBf16; }

WeightLayout layout_weights(uint32_t encoding, uint32_t rows, uint32_t cols) {
  WeightLayout layout = {.encoding = encoding, .rows = rows, .cols = cols};
  layout.padded_rows = (rows + kRowPadding - 1) / kRowPadding * kRowPadding;
  const uint64_t blocks = uint64_t{layout.padded_rows} * layout.blocks();
  layout.extra_offset = align(blocks * units_of(encoding) * 16);
  layout.scales_offset = align(layout.extra_offset + blocks * extra_bytes_of_block(encoding));
  // Minimums follow the scales without a gap: the shaders compute their place.
  layout.minimums_offset = layout.scales_offset;
  layout.bytes = layout.scales_offset;
  if (uses_split_activations(encoding)) {
    layout.bytes += uint64_t{layout.padded_rows} * 4;
  } else if (has_grouped_scale(encoding)) {
    layout.minimums_offset += blocks * 2;
    layout.bytes = layout.minimums_offset + (has_grouped_minimum(encoding) ? blocks * 2 : 0);
  } else if (is_k(encoding)) {
    layout.minimums_offset += blocks / 8 * 16;
    layout.bytes = layout.minimums_offset + (encoding == kEncodingQ6_K ? blocks / 8 * 4 : 0);
  }
  return layout;
}

std::vector<Plane> pack_rows(const WeightLayout& layout, NumberFormat format, uint32_t first_row,
                             std::span<const std::byte> bytes) {
  const auto rows = static_cast<uint32_t>(bytes.size() / bytes_of(format, layout.cols));
  RowPacker packer(layout, first_row, rows);
  const uint32_t blocks = layout.blocks();
  switch (layout.encoding) {
    case kEncodingQ8_0:
      pack_blocks<BlockQ8_0>(packer, rows, blocks, bytes);
      break;
    case kEncodingQ4_0:
      pack_blocks<BlockQ4_0>(packer, rows, blocks, bytes);
      break;
    case kEncodingQ4_1:
      pack_blocks<BlockQ4_1>(packer, rows, blocks, bytes);
      break;
    case kEncodingQ5_0:
      pack_blocks<BlockQ5_0>(packer, rows, blocks, bytes);
      break;
    case kEncodingQ5_1:
      pack_blocks<BlockQ5_1>(packer, rows, blocks, bytes);
      break;
    case kEncodingMxfp4:
      pack_blocks<BlockMxfp4>(packer, rows, blocks, bytes);
      break;
    case kEncodingQ4_K:
      pack_blocks<BlockQ4_K>(packer, rows, blocks / 8, bytes);
      break;
    case kEncodingQ5_K:
      pack_blocks<BlockQ5_K>(packer, rows, blocks / 8, bytes);
      break;
    case kEncodingQ6_K:
      pack_blocks<BlockQ6_K>(packer, rows, blocks / 8, bytes);
      break;
    default:
      pack_plain(packer, layout.encoding, rows, blocks, bytes);
      break;
  }
  std::vector<Plane> planes;
  for (Plane* plane : {&packer.quants, &packer.extra, &packer.scales, &packer.minimums}) {
    if (!plane->bytes.empty()) planes.push_back(std::move(*plane));
  }
  return planes;
}

}  // namespace hearth::vulkan
