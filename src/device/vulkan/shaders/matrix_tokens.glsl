// Matrix times many vectors by cooperative matrices of signed bytes (GL_KHR_cooperative_matrix): weights in blocks of 32
// with a scale, activations likewise, exact sums of a block in int32, scaled and added up in float32. So a token's sums
// are those of the few-token kernels but for the order of additions.
//
// A workgroup computes TILE_ROWS rows of weights by TILE_TOKENS tokens, a subgroup of it SUB_ROWS by SUB_TOKENS. DEPTH blocks
// of every row are a stage, in shared memory at once, while AHEAD stages are on their way into registers. Where a tile is
// one subgroup's part, the subgroups take turns along the row instead: each stages blocks of its own, and none waits for
// another until their sums are added up.
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
layout(constant_id = 11) const uint AHEAD = 1;

#include "weights.glsl"

const uint SUBGROUPS = THREADS / SUBGROUP;
const uint ROW_PARTS = TILE_ROWS / SUB_ROWS;
const uint TOKEN_PARTS = TILE_TOKENS / SUB_TOKENS;
const bool ALONE = ROW_PARTS * TOKEN_PARTS == 1;
const uint TURNS = ALONE ? SUBGROUPS : 1;
const uint TEAM = ALONE ? SUBGROUP : THREADS;  ///< threads that fill a stage together
const uint TEAMS = ALONE ? SUBGROUPS : 1;
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
shared uvec2 weight_bytes[TEAMS * TILE_ROWS * WEIGHT_STRIDE];
shared uvec2 x_bytes[TEAMS * TILE_TOKENS * X_STRIDE];
shared float weight_scales[TEAMS * PARTS * DEPTH * TILE_ROWS];  ///< [block][part][row]
shared float weight_offsets[HAS_OFFSET ? TEAMS * DEPTH * TILE_ROWS : 4];
shared float x_scales[TEAMS * DEPTH * TILE_TOKENS];  ///< [block][token]
shared float x_sums[HAS_OFFSET ? TEAMS * DEPTH * TILE_TOKENS : 4];
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

const uint WEIGHT_LOADS = (TILE_ROWS * DEPTH + TEAM - 1) / TEAM;  ///< blocks of a thread
const uint X_LOADS = (TILE_TOKENS * DEPTH + TEAM - 1) / TEAM;

uint team_index() { return ALONE ? gl_SubgroupID : 0; }
uint team_thread() { return ALONE ? gl_SubgroupInvocationID : thread_index(); }

/// A stage is written, or read, by all of its team.
void team_barrier() {
  if (ALONE) {
    subgroupBarrier();
  } else {
    barrier();
  }
}

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

/// Takes 16 from each byte where the encoding's offset is that, so that it needs no products of its own.
uint centred(uint word) { return ENCODING == kEncodingQ5_0 ? (word + 0x70707070u) ^ 0x80808080u : word; }

void store_weights(uint i, RawBlock raw, uint first_block, uint blocks) {
  if (i >= TILE_ROWS * DEPTH) return;
  const uint row = i / DEPTH, d = i % DEPTH;
  const bool exists = first_block + d < blocks;
  const ByteBlock bytes = unpack_bytes(raw, first_block + d);
  const uint team_row = team_index() * TILE_ROWS + row;
  const uint at = team_row * WEIGHT_STRIDE + d * WEIGHT_OCTETS;
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
    weight_scales[((team_index() * DEPTH + d) * PARTS + p) * TILE_ROWS + row] = exists ? bytes.scales[p] : 0;
  }
  if (HAS_OFFSET) weight_offsets[(team_index() * DEPTH + d) * TILE_ROWS + row] = exists ? bytes.offset : 0;
}

void store_x(uint i, XBlock x) {
  if (i >= TILE_TOKENS * DEPTH) return;
  const uint token = i / DEPTH, d = i % DEPTH;
  const uint at = (team_index() * TILE_TOKENS + token) * X_STRIDE + 4 * d;
  x_bytes[at] = x.low.xy;
  x_bytes[at + 1] = x.low.zw;
  x_bytes[at + 2] = x.high.xy;
  x_bytes[at + 3] = x.high.zw;
  const uint team_block = team_index() * DEPTH + d;
  x_scales[team_block * TILE_TOKENS + token] = x.pair.x;
  if (HAS_OFFSET) x_sums[team_block * TILE_TOKENS + token] = x.pair.y;
}

/// What a thread loads of a stage.
struct Stage {
  RawBlock weights[WEIGHT_LOADS];
  XBlock x[X_LOADS];
};

/// This team's blocks of the round that begins at `round`. Beyond the row's end it loads the last block again: what is not
/// there must still be numbers, for no scale of zero takes away a NaN.
void load_stage(WeightMatrix m[MATRICES], uint first_row, MatrixInput x, uint round, inout Stage stage) {
  if (round >= x.blocks) return;
  const uint block = round + team_index() * DEPTH;
  [[unroll]] for (uint i = 0; i < WEIGHT_LOADS; ++i) {
    stage.weights[i] = load_weights(m, first_row, i * TEAM + team_thread(), block);
  }
  [[unroll]] for (uint i = 0; i < X_LOADS; ++i) stage.x[i] = load_x(x, i * TEAM + team_thread(), block);
}

void store_stage(Stage stage, uint block, uint blocks) {
  [[unroll]] for (uint i = 0; i < WEIGHT_LOADS; ++i) {
    store_weights(i * TEAM + team_thread(), stage.weights[i], block, blocks);
  }
  [[unroll]] for (uint i = 0; i < X_LOADS; ++i) store_x(i * TEAM + team_thread(), stage.x[i]);
}

/// This subgroup's part of the tile.
struct Part {
  uint row, token;  ///< first ones, in the tile
};

Part my_part() {
  if (ALONE) return Part(0, 0);
  return Part(gl_SubgroupID / TOKEN_PARTS * SUB_ROWS, gl_SubgroupID % TOKEN_PARTS * SUB_TOKENS);
}

/// Of the subgroups that take turns, the first has the whole sums in the end. The others stay: lavapipe loses what a
/// subgroup does behind a subgroupBarrier that others have left before.
bool has_result() { return !ALONE || gl_SubgroupID == 0; }

// A stride of 0 gives every column (or row) of a matrix the same values, in the layout of the sums.
#define LOAD_ROWS(matrix, values, at) coopMatLoad(matrix, values, at, 0, gl_CooperativeMatrixLayoutColumnMajor)
#define LOAD_TOKENS(matrix, values, at) coopMatLoad(matrix, values, at, 0, gl_CooperativeMatrixLayoutRowMajor)

void add_part(Part part, uint d, uint p, inout Sums sums[TILES]) {
  Weights weights[ROW_TILES * PART_STEPS];
  Sums row_scales[ROW_TILES], row_offsets[HAS_OFFSET ? ROW_TILES : 1];
  const uint team_block = team_index() * DEPTH + d;
  const uint first_octet = PADDED ? 4 * p : 2 * p * (PARTS - 1);  // of the part, in the block
  [[unroll]] for (uint r = 0; r < ROW_TILES; ++r) {
    const uint row = part.row + r * M;
    [[unroll]] for (uint s = 0; s < PART_STEPS; ++s) {
      coopMatLoad(weights[r * PART_STEPS + s], weight_bytes,
                  (team_index() * TILE_ROWS + row) * WEIGHT_STRIDE + d * WEIGHT_OCTETS + first_octet + s * (K / 8), WEIGHT_STRIDE,
                  gl_CooperativeMatrixLayoutRowMajor);
    }
    LOAD_ROWS(row_scales[r], weight_scales, (team_block * PARTS + p) * TILE_ROWS + row);
    if (HAS_OFFSET) LOAD_ROWS(row_offsets[r], weight_offsets, team_block * TILE_ROWS + row);
  }
  [[unroll]] for (uint t = 0; t < TOKEN_TILES; ++t) {
    const uint token = part.token + t * N;
    Vectors vectors[PART_STEPS];
    [[unroll]] for (uint s = 0; s < PART_STEPS; ++s) {
      coopMatLoad(vectors[s], x_bytes, (team_index() * TILE_TOKENS + token) * X_STRIDE + d * 4 + (PADDED ? 0 : first_octet) + s * (K / 8), X_STRIDE,
                  gl_CooperativeMatrixLayoutColumnMajor);
    }
    Sums token_scales, token_sums;
    LOAD_TOKENS(token_scales, x_scales, team_block * TILE_TOKENS + token);
    if (HAS_OFFSET) LOAD_TOKENS(token_sums, x_sums, team_block * TILE_TOKENS + token);
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
void add_turns(inout Sums sums[TILES]) {
  if (TURNS == 1) return;
  [[unroll]] for (uint i = 0; i < TILES; ++i) {
    coopMatStore(sums[i], scratch, gl_SubgroupID * M * N, M, gl_CooperativeMatrixLayoutColumnMajor);
    barrier();
    if (gl_SubgroupID == 0) {
      for (uint turn = 1; turn < TURNS; ++turn) {
        Sums other;
        coopMatLoad(other, scratch, turn * M * N, M, gl_CooperativeMatrixLayoutColumnMajor);
        sums[i] += other;
      }
    }
    barrier();
  }
}

/// This subgroup's sums; where subgroups take turns, whole in the one that has the result.
void multiply_tile(WeightMatrix m[MATRICES], uint first_row, MatrixInput x, Part part, out Sums sums[TILES]) {
  [[unroll]] for (uint i = 0; i < TILES; ++i) sums[i] = Sums(0);
  // All subgroups make the same number of rounds; blocks beyond the end count nothing.
  Stage stages[AHEAD];
  [[unroll]] for (uint i = 0; i < AHEAD; ++i) load_stage(m, first_row, x, i * TEAMS * DEPTH, stages[i]);
  for (uint first = 0; first < x.blocks; first += AHEAD * TEAMS * DEPTH) {
    [[unroll]] for (uint i = 0; i < AHEAD; ++i) {
      const uint block = first + i * TEAMS * DEPTH;
      if (block >= x.blocks) break;
      store_stage(stages[i], block + team_index() * DEPTH, x.blocks);
      team_barrier();
      load_stage(m, first_row, x, block + AHEAD * TEAMS * DEPTH, stages[i]);
      for (uint d = 0; d < DEPTH; ++d) {
        [[unroll]] for (uint p = 0; p < PARTS; ++p) add_part(part, d, p, sums);
      }
      team_barrier();
    }
  }
  add_turns(sums);
}
