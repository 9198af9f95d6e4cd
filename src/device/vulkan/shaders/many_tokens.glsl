// Matrix times many vectors: a workgroup of 256 threads computes a tile of 64 rows by TILE_TOKENS tokens through shared
// memory. Encodings of blocks are multiplied as bytes with packed dot products, plain ones as float32. A thread of place
// (x, y) in 16 x 16 owns rows y + 16 j and tokens x + 16 i of the tile.

layout(constant_id = 2) const uint ENCODING = 4;
layout(constant_id = 3) const uint TILE_TOKENS = 64;

#include "weights.glsl"

const uint TILE_ROWS = 64;
const uint DEPTH = IS_PLAIN ? 1 : 4;  ///< blocks of a row in shared memory at once
const uint PER_THREAD_ROWS = 4;
const uint PER_THREAD_TOKENS = TILE_TOKENS / 16;

// Bytes: [row or token][DEPTH * 2 + 1] units of 16 bytes; the odd stride keeps lanes on different banks.
const uint BYTE_STRIDE = DEPTH * 2 + 1;
shared uvec4 weight_bytes[IS_PLAIN ? 1 : TILE_ROWS * BYTE_STRIDE];
shared vec4 weight_scales[IS_PLAIN ? 1 : TILE_ROWS * DEPTH];  ///< scales of both halves, offset
shared uvec4 x_bytes[IS_PLAIN ? 1 : TILE_TOKENS * BYTE_STRIDE];
shared vec2 x_pairs[IS_PLAIN ? 1 : TILE_TOKENS * DEPTH];
// Floats: [row or token][8 + 1] quads.
const uint FLOAT_STRIDE = 9;
shared vec4 weight_floats[IS_PLAIN ? TILE_ROWS * FLOAT_STRIDE : 1];
shared vec4 x_floats[IS_PLAIN ? TILE_TOKENS * FLOAT_STRIDE : 1];

struct ManyInput {
  Uvec4sIn x;
  Vec2sIn pairs;
  uint first_token;
  uint tokens;  ///< rows of x that exist
};

void stage_weights_bytes(uint i, RawBlock raw, uint block, bool exists) {
  ByteBlock bytes = unpack_bytes(raw, block);
  const uint at = (i / DEPTH) * BYTE_STRIDE + (i % DEPTH) * 2;
  weight_bytes[at] = uvec4(bytes.words[0], bytes.words[1], bytes.words[2], bytes.words[3]);
  weight_bytes[at + 1] = uvec4(bytes.words[4], bytes.words[5], bytes.words[6], bytes.words[7]);
  weight_scales[i] = exists ? vec4(bytes.scales, bytes.offset, 0) : vec4(0);
}

void stage_x_bytes(ManyInput x, uint i, uint first_block, uint blocks) {
  const uint token = min(x.first_token + i / DEPTH, x.tokens - 1);
  const uint block = first_block + i % DEPTH;
  const uint from = token * blocks + min(block, blocks - 1);
  const uint at = (i / DEPTH) * BYTE_STRIDE + (i % DEPTH) * 2;
  x_bytes[at] = x.x.v[2 * from];
  x_bytes[at + 1] = x.x.v[2 * from + 1];
  x_pairs[i] = block < blocks ? x.pairs.v[from] : vec2(0);
}

void add_bytes(uvec2 place, inout float sums[PER_THREAD_ROWS][PER_THREAD_TOKENS]) {
  for (uint d = 0; d < DEPTH; ++d) {
    ByteBlock w[PER_THREAD_ROWS];
    [[unroll]] for (uint j = 0; j < PER_THREAD_ROWS; ++j) {
      const uint row = place.y + 16 * j;
      const uvec4 low = weight_bytes[row * BYTE_STRIDE + 2 * d], high = weight_bytes[row * BYTE_STRIDE + 2 * d + 1];
      [[unroll]] for (uint m = 0; m < 4; ++m) {
        w[j].words[m] = low[m];
        w[j].words[m + 4] = high[m];
      }
      const vec4 scales = weight_scales[row * DEPTH + d];
      w[j].scales = scales.xy;
      w[j].offset = scales.z;
    }
    [[unroll]] for (uint i = 0; i < PER_THREAD_TOKENS; ++i) {
      const uint token = place.x + 16 * i;
      const uvec4 low = x_bytes[token * BYTE_STRIDE + 2 * d], high = x_bytes[token * BYTE_STRIDE + 2 * d + 1];
      const vec2 pair = x_pairs[token * DEPTH + d];
      [[unroll]] for (uint j = 0; j < PER_THREAD_ROWS; ++j) sums[j][i] += dot_block(w[j], low, high, pair);
    }
  }
}

void add_floats(uvec2 place, inout float sums[PER_THREAD_ROWS][PER_THREAD_TOKENS]) {
  for (uint quad = 0; quad < 8; ++quad) {
    vec4 w[PER_THREAD_ROWS];
    [[unroll]] for (uint j = 0; j < PER_THREAD_ROWS; ++j) w[j] = weight_floats[(place.y + 16 * j) * FLOAT_STRIDE + quad];
    [[unroll]] for (uint i = 0; i < PER_THREAD_TOKENS; ++i) {
      const vec4 four = x_floats[(place.x + 16 * i) * FLOAT_STRIDE + quad];
      [[unroll]] for (uint j = 0; j < PER_THREAD_ROWS; ++j) sums[j][i] += dot(w[j], four);
    }
  }
}

/// Rows [first, first + count) of `m` fill tile rows from `tile_row` on.
void stage_weights(WeightMatrix m, uint first, uint tile_row, uint count, uint first_block) {
  if (IS_PLAIN) {
    for (uint i = thread_index(); i < count; i += THREADS) {
      const RawBlock raw = load_block(m, min(first + i, m.padded_rows - 1), first_block);
      [[unroll]] for (uint quad = 0; quad < 8; ++quad) {
        weight_floats[(tile_row + i) * FLOAT_STRIDE + quad] = unpack_plain(raw, quad);
      }
    }
  } else {
    for (uint i = thread_index(); i < count * DEPTH; i += THREADS) {
      const uint row = min(first + i / DEPTH, m.padded_rows - 1);
      const uint block = first_block + i % DEPTH;
      const uint safe_block = min(block, m.blocks - 1);
      stage_weights_bytes(tile_row * DEPTH + i, load_block(m, row, safe_block), safe_block, block < m.blocks);
    }
  }
}

void stage_x(ManyInput x, uint first_block, uint blocks) {
  if (IS_PLAIN) {
    for (uint i = thread_index(); i < TILE_TOKENS * 8; i += THREADS) {
      const uint token = min(x.first_token + i / 8, x.tokens - 1);
      x_floats[i / 8 * FLOAT_STRIDE + i % 8] = uintBitsToFloat(x.x.v[(token * blocks + first_block) * 8 + i % 8]);
    }
  } else {
    for (uint i = thread_index(); i < TILE_TOKENS * DEPTH; i += THREADS) stage_x_bytes(x, i, first_block, blocks);
  }
}
