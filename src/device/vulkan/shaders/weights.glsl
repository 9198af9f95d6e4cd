// Loading blocks of weights and multiplying them with activations; layout.h describes how they lie. Needs the
// specialisation constant ENCODING, and the constant FIXED_ORDER. Everything that depends on them is folded when the
// pipeline is made.
#include "fixed_order.glsl"

const bool IS_PLAIN = ENCODING <= kEncodingBf16;
const bool IS_K = ENCODING >= kEncodingQ4_K;
const uint UNITS = ENCODING == kEncodingF32 ? 8 : (IS_PLAIN ? 4 : (ENCODING == kEncodingQ8_0 ? 2 : 1));

/// What a byte of unpack_bytes counts: sums of products are multiplied with it in the end.
const float BYTE_UNIT = ENCODING == kEncodingQ4_0 ? 0.0625 : 1.0;

struct WeightMatrix {
  WeightRef at;
  uint blocks;       ///< of a row
  uint padded_rows;  ///< minimums and q6_k's scales begin behind this many rows
};

/// A block as it was loaded: 32 values, not yet unpacked.
struct RawBlock {
  uvec4 units[8];  ///< the first UNITS are used: a size by specialisation constant cannot be assigned
  uvec2 extra;
  uvec4 header;
  uvec2 words;  ///< that hold the grouped scale and minimum, until split_words
  float scale;
  float minimum;
};

/// Where a block's parts lie in their planes. Carried along a row, it costs an addition a step, where indices made anew cost
/// many.
struct BlockPlace {
  uint row, block;
  uint unit;  ///< the first; of the extra plane too, which only encodings of one unit have
  uint word;  ///< of grouped scales
};

/// A block ready for dot products with signed bytes: value = ((first or second half's scale) * byte + offset) * BYTE_UNIT.
struct ByteBlock {
  uint words[8];  ///< word m holds values 4m .. 4m+3
  vec2 scales;    ///< of values 0-15 and 16-31; equal but for q6_k
  float offset;
};

/// Two grouped scales, or minimums.
vec2 unpack_scales(uint word) {
  if (ENCODING == kEncodingMxfp4) return uintBitsToFloat(uvec2(word << 16, word & 0xffff0000u));
  return unpackHalf2x16(word);
}

float load_grouped(WeightMatrix m, uint row, uint block, uint first_group) {
  const uint index = ((first_group + (row >> 2)) * m.blocks + block) * 4 + (row & 3);
  return unpack_scales(m.at.scales.v[index >> 1])[index & 1];
}

/// Four consecutive rows' scales; `row` is a multiple of 4.
vec4 load_grouped4(WeightMatrix m, uint row, uint block, uint first_group) {
  const uvec2 packed = Uvec2sIn(m.at.scales).v[(first_group + (row >> 2)) * m.blocks + block];
  return vec4(unpack_scales(packed.x), unpack_scales(packed.y));
}

/// Two consecutive rows' scales; `row` is even.
vec2 load_grouped2(WeightMatrix m, uint row, uint block, uint first_group) {
  const uint index = ((first_group + (row >> 2)) * m.blocks + block) * 2 + ((row >> 1) & 1);
  return unpack_scales(m.at.scales.v[index]);
}

const bool HAS_GROUPED_SCALE = ENCODING >= kEncodingQ8_0 && ENCODING <= kEncodingMxfp4;
const bool HAS_GROUPED_MINIMUM = ENCODING == kEncodingQ4_1 || ENCODING == kEncodingQ5_1;

BlockPlace place_block(WeightMatrix m, uint row, uint block) {
  return BlockPlace(row, block, row * UNITS * m.blocks + block, ((row >> 2) * m.blocks + block) * 2 + ((row >> 1) & 1));
}

void advance(inout BlockPlace at, uint blocks) {
  at.block += blocks;
  at.unit += blocks;
  at.word += 2 * blocks;
}

/// Everything of a block but its grouped scale and minimum.
RawBlock load_units(WeightMatrix m, BlockPlace at) {
  RawBlock raw;
  [[unroll]] for (uint u = 0; u < UNITS; ++u) raw.units[u] = m.at.quants.v[at.unit + u * m.blocks];
  raw.extra = uvec2(0);
  raw.header = uvec4(0);
  raw.words = uvec2(0);
  raw.scale = 0;
  raw.minimum = 0;
  if (ENCODING == kEncodingQ5_0 || ENCODING == kEncodingQ5_1 || ENCODING == kEncodingQ5_K) {
    raw.extra.x = m.at.extra.v[at.unit];
  }
  if (ENCODING == kEncodingQ6_K) raw.extra = Uvec2sIn(m.at.extra).v[at.unit];
  const uint superblocks = m.blocks >> 3, superblock = at.row * superblocks + (at.block >> 3);
  if (IS_K) raw.header = Uvec4sIn(m.at.scales).v[superblock];
  if (ENCODING == kEncodingQ6_K) raw.scale = FloatsIn(m.at.scales).v[m.padded_rows * superblocks * 4 + superblock];
  return raw;
}

/// A block whose grouped scale and minimum are still words: nothing is computed from what is loaded, so that nothing waits
/// for it before split_words.
RawBlock load_words(WeightMatrix m, BlockPlace at) {
  RawBlock raw = load_units(m, at);
  if (HAS_GROUPED_SCALE) raw.words.x = m.at.scales.v[at.word];
  if (HAS_GROUPED_MINIMUM) raw.words.y = m.at.scales.v[at.word + (m.padded_rows >> 1) * m.blocks];
  return raw;
}

void split_words(inout RawBlock raw, uint row) {
  const uint half_of = row & 1;
  if (HAS_GROUPED_SCALE) raw.scale = unpack_scales(raw.words.x)[half_of];
  if (HAS_GROUPED_MINIMUM) raw.minimum = unpackHalf2x16(raw.words.y)[half_of];
}

RawBlock load_block(WeightMatrix m, uint row, uint block) {
  RawBlock raw = load_words(m, place_block(m, row, block));
  split_words(raw, row);
  return raw;
}

/// The 6-bit scale and minimum of part `part` from q4_k's and q5_k's header.
vec2 part_scale(uvec4 header, uint part) {
  const uint shift = 8 * (part & 3);
  const uint first = header.y >> shift, second = header.z >> shift, third = header.w >> shift;
  if (part < 4) return vec2(first & 63u, second & 63u);
  return vec2((third & 15u) | ((first >> 2) & 48u), ((third >> 4) & 15u) | ((second >> 2) & 48u));
}

/// Four codes of e2m1 numbers as signed bytes, twice the numbers. Without the sign 0 to 3 are 0 to 3, and above, with the
/// two lower bits x of a code, 4 + 2 x and 2 more for 7.
uint doubled_e2m1(uint codes) {
  const uint size = codes & 0x07070707u, is_above = (size >> 2) & 0x01010101u;
  const uint x = size & (is_above * 3);
  const uint value = size + x + ((x & (x >> 1) & 0x01010101u) << 1);
  const uint negative = ((codes >> 3) & 0x01010101u) * 255;
  // positive - negative, no borrow across bytes
  return (((value & ~negative) | 0x80808080u) - (value & negative)) ^ 0x80808080u;
}

/// Not for the plain encodings.
ByteBlock unpack_bytes(RawBlock raw, uint block) {
  ByteBlock result;
  if (ENCODING == kEncodingQ8_0) {
    [[unroll]] for (uint m = 0; m < 4; ++m) {
      result.words[m] = raw.units[0][m];
      result.words[m + 4] = raw.units[UNITS - 1][m];
    }
  } else if (ENCODING == kEncodingQ4_0) {
    // Signed nibbles in the upper half of each byte.
    [[unroll]] for (uint m = 0; m < 4; ++m) {
      result.words[m] = (raw.units[0][m] << 4) & 0xf0f0f0f0u;
      result.words[m + 4] = raw.units[0][m] & 0xf0f0f0f0u;
    }
  } else {
    [[unroll]] for (uint m = 0; m < 4; ++m) {
      result.words[m] = raw.units[0][m] & 0x0f0f0f0fu;
      result.words[m + 4] = (raw.units[0][m] >> 4) & 0x0f0f0f0fu;
    }
  }
  if (ENCODING == kEncodingMxfp4) {
    [[unroll]] for (uint m = 0; m < 8; ++m) result.words[m] = doubled_e2m1(result.words[m]);
  }
  if (ENCODING == kEncodingQ5_0 || ENCODING == kEncodingQ5_1 || ENCODING == kEncodingQ5_K) {
    [[unroll]] for (uint m = 0; m < 8; ++m) result.words[m] |= ((raw.extra.x >> m) & 0x01010101u) << 4;
  }
  if (ENCODING == kEncodingQ6_K) {
    [[unroll]] for (uint m = 0; m < 8; ++m) {
      const uint code = result.words[m] | (((raw.extra[m >> 2] >> (2 * (m & 3))) & 0x03030303u) << 4);
      result.words[m] = ((code | 0x80808080u) - 0x20202020u) ^ 0x80808080u;  // byte - 32, no borrow across bytes
    }
  }

  result.scales = vec2(raw.scale);
  result.offset = 0;
  if (ENCODING == kEncodingQ5_0) result.offset = -16 * raw.scale;
  if (HAS_GROUPED_MINIMUM) result.offset = raw.minimum;
  if (ENCODING == kEncodingQ4_K || ENCODING == kEncodingQ5_K) {
    const vec2 both = unpackHalf2x16(raw.header.x) * part_scale(raw.header, block & 7);
    result.scales = vec2(both.x);
    result.offset = -both.y;
  }
  if (ENCODING == kEncodingQ6_K) {
    const int packed = int(raw.header[(block & 7) >> 1] >> (16 * (block & 1)));
    result.scales = raw.scale * vec2(bitfieldExtract(packed, 0, 8), bitfieldExtract(packed, 8, 8));
  }
  return result;
}

/// Values 4 quad .. 4 quad + 3 of a plain block.
vec4 unpack_plain(RawBlock raw, uint quad) {
  if (ENCODING == kEncodingF32) return uintBitsToFloat(raw.units[quad]);
  const uvec4 unit = raw.units[quad >> 1];
  const uvec2 two = (quad & 1) != 0 ? unit.zw : unit.xy;
  if (ENCODING == kEncodingF16) return vec4(unpackHalf2x16(two.x), unpackHalf2x16(two.y));
  return uintBitsToFloat(uvec4(two.x << 16, two.x & 0xffff0000u, two.y << 16, two.y & 0xffff0000u));
}

/// Values 4 quad .. 4 quad + 3 of an unpacked block.
vec4 bytes_to_floats(ByteBlock bytes, uint quad) {
  const int word = int(bytes.words[quad]);
  const vec4 q = vec4(bitfieldExtract(word, 0, 8), bitfieldExtract(word, 8, 8), bitfieldExtract(word, 16, 8),
                      bitfieldExtract(word, 24, 8));
  return (bytes.scales[quad >> 2] * q + bytes.offset) * BYTE_UNIT;
}

int dot_bytes(uint a, uint b, int sum) { return sum + dotPacked4x8EXT(int(a), int(b)); }

/// Dot product with a block of activations: their bytes and the pair (scale, scale * sum of bytes).
float dot_block(ByteBlock w, uvec4 x_low, uvec4 x_high, vec2 x_pair) {
  int low = 0, high = 0;
  [[unroll]] for (uint m = 0; m < 4; ++m) {
    low = dot_bytes(w.words[m], x_low[m], low);
    high = dot_bytes(w.words[m + 4], x_high[m], high);
  }
  if (ENCODING == kEncodingQ6_K) {
    return times(x_pair.x, add(times(w.scales.x, float(low)), times(w.scales.y, float(high))));
  }
  const float product = times(times(x_pair.x, w.scales.x), float(low + high));
  if (ENCODING == kEncodingQ4_0 || ENCODING == kEncodingQ8_0) return product;
  return add(product, times(w.offset, x_pair.y));
}
