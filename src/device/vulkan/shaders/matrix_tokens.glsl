// Matrix times many vectors by cooperative matrices of signed bytes (GL_KHR_cooperative_matrix): weights in blocks of 32
// with a scale, activations likewise, exact sums of a block in int32, scaled and added up in float32. So a token's sums
// are those of the few-token kernels but for the order of additions.
//
// A workgroup computes TILE_ROWS rows of weights by TILE_TOKENS tokens; a subgroup of it SUB_ROWS by SUB_TOKENS; where the
// tile has fewer such parts than there are subgroups, TURNS of them share a part and take turns along the row. DEPTH blocks of
// every row are staged in shared memory at once while the next ones are on their way into registers.
// With two MATRICES (gate and up) the first half of each subgroup's rows is the gate's, the second half the up's of the
// same outputs.

#extension GL_KHR_cooperative_matrix : require
#extension GL_EXT_shader_explicit_arithmetic_types_int8 : require

layout(constant_id = 2) const uint ENCODING = 4;
layout(constant_id = 3) const uint TILE_ROWS = 64;
layout(constant_id = 4) const uint TILE_TOKENS = 64;
layout(constant_id = 5) const uint SUB_ROWS = 32;
layout(constant_id = 6) const uint SUB_TOKENS = 32;
layout(constant_id = 7) const uint DEPTH = 2;
layout(constant_id = 8) const uint M = 16;  ///< rows, tokens and values of one cooperative matrix
layout(constant_id = 9) const uint N = 16;
layout(constant_id = 10) const uint K = 16;

#include "weights.glsl"

const uint SUBGROUPS = THREADS / SUBGROUP;
const uint ROW_PARTS = TILE_ROWS / SUB_ROWS;
const uint TOKEN_PARTS = TILE_TOKENS / SUB_TOKENS;
const uint TURNS = SUBGROUPS / (ROW_PARTS * TOKEN_PARTS);
const uint ROW_TILES = SUB_ROWS / M;
const uint TOKEN_TILES = SUB_TOKENS / N;
const uint TILES = ROW_TILES * TOKEN_TILES;

// q6_k has a scale for 16 values: its blocks are two parts. Where one cooperative matrix takes a whole block, each part is
// staged as a block of its own whose other half is zero.
const bool HALVES = ENCODING == kEncodingQ6_K;
const uint PARTS = HALVES ? 2 : 1;
const bool PADDED = HALVES && K > 16;
const uint PART_STEPS = (HALVES && !PADDED ? 16 : 32) / K;  ///< cooperative matrices along a part
const bool HAS_OFFSET = HAS_GROUPED_MINIMUM || ENCODING == kEncodingQ4_K || ENCODING == kEncodingQ5_K;

// Cooperative matrices are loaded from multiples of 16 bytes only, so every array below is a multiple of that long.
// In octets of values; two more than needed keep rows on different banks and at multiples of 16 bytes.
const uint WEIGHT_OCTETS = PADDED ? 8 : 4;  ///< of a block
const uint WEIGHT_STRIDE = DEPTH * WEIGHT_OCTETS + 2;
const uint X_STRIDE = DEPTH * 4 + 2;
shared uvec2 weight_bytes[TILE_ROWS * WEIGHT_STRIDE];
shared uvec2 x_bytes[TILE_TOKENS * X_STRIDE];
shared float weight_scales[PARTS * DEPTH * TILE_ROWS];  ///< [block][part][row]
shared float weight_offsets[HAS_OFFSET ? DEPTH * TILE_ROWS : 4];
shared float x_scales[DEPTH * TILE_TOKENS];  ///< [block][token]
shared float x_sums[HAS_OFFSET ? DEPTH * TILE_TOKENS : 4];
shared float scratch[SUBGROUPS * M * N];

#define Weights coopmat<int8_t, gl_ScopeSubgroup, M, K, gl_MatrixUseA>
#define Vectors coopmat<int8_t, gl_ScopeSubgroup, K, N, gl_MatrixUseB>
#define IntSums coopmat<int, gl_ScopeSubgroup, M, N, gl_MatrixUseAccumulator>
#define Sums coopmat<float, gl_ScopeSubgroup, M, N, gl_MatrixUseAccumulator>

struct MatrixInput {
  Uvec4sIn x;
  Vec2sIn pairs;
  uint first_token;
  uint tokens;  ///< rows of x that exist
  uint blocks;
};

const uint WEIGHT_LOADS = (TILE_ROWS * DEPTH + THREADS - 1) / THREADS;  ///< blocks of a thread
const uint X_LOADS = (TILE_TOKENS * DEPTH + THREADS - 1) / THREADS;

struct XBlock {
  uvec4 low, high;
  vec2 pair;
};

/// The row of its matrix, counted from the workgroup's first, that tile row `i` holds, and the number of the matrix.
uvec2 place_of(uint i) {
  if (MATRICES == 1) return uvec2(i, 0);
  const uint within = i % SUB_ROWS;
  return uvec2(i / SUB_ROWS * (SUB_ROWS / 2) + within % (SUB_ROWS / 2), within / (SUB_ROWS / 2));
}

RawBlock load_weights(WeightMatrix m[MATRICES], uint first_row, uint i, uint first_block) {
  const uvec2 place = place_of(min(i / DEPTH, TILE_ROWS - 1));
  const uint row = min(first_row + place.x, m[0].padded_rows - 1);
  const uint block = min(first_block + i % DEPTH, m[0].blocks - 1);
  if (MATRICES == 1 || place.y == 0) return load_block(m[0], row, block);
  return load_block(m[MATRICES - 1], row, block);
}

XBlock load_x(MatrixInput x, uint i, uint first_block) {
  const uint token = min(x.first_token + min(i / DEPTH, TILE_TOKENS - 1), x.tokens - 1);
  const uint at = token * x.blocks + min(first_block + i % DEPTH, x.blocks - 1);
  return XBlock(x.x.v[2 * at], x.x.v[2 * at + 1], x.pairs.v[at]);
}

/// Takes 8 or 16 from each byte where the encoding's offset is that, so that it needs no products of its own.
uint centred(uint word) {
  if (ENCODING == kEncodingQ4_0) return (word + 0x78787878u) ^ 0x80808080u;
  if (ENCODING == kEncodingQ5_0) return (word + 0x70707070u) ^ 0x80808080u;
  return word;
}

void stage_weights(uint i, RawBlock raw, uint first_block, uint blocks) {
  if (i >= TILE_ROWS * DEPTH) return;
  const uint row = i / DEPTH, d = i % DEPTH;
  const bool exists = first_block + d < blocks;
  const ByteBlock bytes = unpack_bytes(raw, first_block + d);
  const uint at = row * WEIGHT_STRIDE + d * WEIGHT_OCTETS;
  [[unroll]] for (uint o = 0; o < 4; ++o) {
    const uvec2 octet = uvec2(centred(bytes.words[2 * o]), centred(bytes.words[2 * o + 1]));
    if (PADDED) {
      const bool first_half = o < 2;
      weight_bytes[at + o] = first_half ? octet : uvec2(0);
      weight_bytes[at + o + WEIGHT_OCTETS - 4] = first_half ? uvec2(0) : octet;
    } else {
      weight_bytes[at + o] = octet;
    }
  }
  [[unroll]] for (uint p = 0; p < PARTS; ++p) {
    weight_scales[(d * PARTS + p) * TILE_ROWS + row] = exists ? bytes.scales[p] : 0;
  }
  if (HAS_OFFSET) weight_offsets[d * TILE_ROWS + row] = exists ? bytes.offset : 0;
}

void stage_x(uint i, XBlock x) {
  if (i >= TILE_TOKENS * DEPTH) return;
  const uint token = i / DEPTH, d = i % DEPTH;
  const uint at = token * X_STRIDE + 4 * d;
  x_bytes[at] = x.low.xy;
  x_bytes[at + 1] = x.low.zw;
  x_bytes[at + 2] = x.high.xy;
  x_bytes[at + 3] = x.high.zw;
  x_scales[d * TILE_TOKENS + token] = x.pair.x;
  if (HAS_OFFSET) x_sums[d * TILE_TOKENS + token] = x.pair.y;
}

/// This subgroup's part of the tile.
struct Part {
  uint row, token;  ///< first ones, in the tile
  uint turn;
};

Part my_part() {
  const uint part = gl_SubgroupID / TURNS;
  return Part(part / TOKEN_PARTS * SUB_ROWS, part % TOKEN_PARTS * SUB_TOKENS, gl_SubgroupID % TURNS);
}

// A stride of 0 gives every column (or row) of a matrix the same values, in the layout of the sums.
#define LOAD_ROWS(matrix, values, at) coopMatLoad(matrix, values, at, 0, gl_CooperativeMatrixLayoutColumnMajor)
#define LOAD_TOKENS(matrix, values, at) coopMatLoad(matrix, values, at, 0, gl_CooperativeMatrixLayoutRowMajor)

void add_part(Part part, uint d, uint p, inout Sums sums[TILES]) {
  Weights weights[ROW_TILES * PART_STEPS];
  Sums row_scales[ROW_TILES], row_offsets[HAS_OFFSET ? ROW_TILES : 1];
  const uint first_octet = PADDED ? 4 * p : 2 * p * (PARTS - 1);  // of the part, in the block
  [[unroll]] for (uint r = 0; r < ROW_TILES; ++r) {
    const uint row = part.row + r * M;
    [[unroll]] for (uint s = 0; s < PART_STEPS; ++s) {
      coopMatLoad(weights[r * PART_STEPS + s], weight_bytes,
                  row * WEIGHT_STRIDE + d * WEIGHT_OCTETS + first_octet + s * (K / 8), WEIGHT_STRIDE,
                  gl_CooperativeMatrixLayoutRowMajor);
    }
    LOAD_ROWS(row_scales[r], weight_scales, (d * PARTS + p) * TILE_ROWS + row);
    if (HAS_OFFSET) LOAD_ROWS(row_offsets[r], weight_offsets, d * TILE_ROWS + row);
  }
  [[unroll]] for (uint t = 0; t < TOKEN_TILES; ++t) {
    const uint token = part.token + t * N;
    Vectors vectors[PART_STEPS];
    [[unroll]] for (uint s = 0; s < PART_STEPS; ++s) {
      coopMatLoad(vectors[s], x_bytes, token * X_STRIDE + d * 4 + (PADDED ? 0 : first_octet) + s * (K / 8), X_STRIDE,
                  gl_CooperativeMatrixLayoutColumnMajor);
    }
    Sums token_scales, token_sums;
    LOAD_TOKENS(token_scales, x_scales, d * TILE_TOKENS + token);
    if (HAS_OFFSET) LOAD_TOKENS(token_sums, x_sums, d * TILE_TOKENS + token);
    [[unroll]] for (uint r = 0; r < ROW_TILES; ++r) {
      IntSums exact = IntSums(0);
      [[unroll]] for (uint s = 0; s < PART_STEPS; ++s) {
        exact = coopMatMulAdd(weights[r * PART_STEPS + s], vectors[s], exact);
      }
      [[unroll]] for (uint e = 0; e < exact.length(); ++e) {
        float sum = sums[r * TOKEN_TILES + t][e] + float(exact[e]) * (row_scales[r][e] * token_scales[e]);
        if (HAS_OFFSET) sum += row_offsets[r][e] * token_sums[e];
        sums[r * TOKEN_TILES + t][e] = sum;
      }
    }
  }
}

/// Adds up the sums of the subgroups that took turns, in the first of them.
void add_turns(Part part, inout Sums sums[TILES]) {
  if (TURNS == 1) return;
  const uint mine = gl_SubgroupID * M * N;
  [[unroll]] for (uint i = 0; i < TILES; ++i) {
    if (part.turn > 0) coopMatStore(sums[i], scratch, mine, M, gl_CooperativeMatrixLayoutColumnMajor);
    barrier();
    if (part.turn == 0) {
      for (uint turn = 1; turn < TURNS; ++turn) {
        Sums other;
        coopMatLoad(other, scratch, mine + turn * M * N, M, gl_CooperativeMatrixLayoutColumnMajor);
        sums[i] += other;
      }
    }
    barrier();
  }
}

/// All of this subgroup's sums; with several turns only those of the first one are whole.
void multiply_tile(WeightMatrix m[MATRICES], uint first_row, MatrixInput x, Part part, out Sums sums[TILES]) {
  [[unroll]] for (uint i = 0; i < TILES; ++i) sums[i] = Sums(0);
  RawBlock raw[WEIGHT_LOADS];
  XBlock vectors[X_LOADS];
  [[unroll]] for (uint i = 0; i < WEIGHT_LOADS; ++i) raw[i] = load_weights(m, first_row, i * THREADS + thread_index(), 0);
  [[unroll]] for (uint i = 0; i < X_LOADS; ++i) vectors[i] = load_x(x, i * THREADS + thread_index(), 0);
  for (uint block = 0; block < x.blocks; block += DEPTH) {
    [[unroll]] for (uint i = 0; i < WEIGHT_LOADS; ++i) {
      stage_weights(i * THREADS + thread_index(), raw[i], block, x.blocks);
    }
    [[unroll]] for (uint i = 0; i < X_LOADS; ++i) stage_x(i * THREADS + thread_index(), vectors[i]);
    barrier();
    if (block + DEPTH < x.blocks) {
      [[unroll]] for (uint i = 0; i < WEIGHT_LOADS; ++i) {
        raw[i] = load_weights(m, first_row, i * THREADS + thread_index(), block + DEPTH);
      }
      [[unroll]] for (uint i = 0; i < X_LOADS; ++i) vectors[i] = load_x(x, i * THREADS + thread_index(), block + DEPTH);
    }
    for (uint d = part.turn; d < DEPTH; d += TURNS) {
      [[unroll]] for (uint p = 0; p < PARTS; ++p) add_part(part, d, p, sums);
    }
    barrier();
  }
  add_turns(part, sums);
}
