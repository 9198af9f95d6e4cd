// Matrix times many vectors by cooperative matrices of signed bytes: weights in blocks of 32 with a scale, activations
// likewise, exact sums of a block in int32, scaled and added up in float32. So a token's sums are those of the few-token
// kernels but for the order of additions. A stage (matrix_tile.glsl) is DEPTH blocks of every row.

#extension GL_EXT_shader_explicit_arithmetic_types_int8 : require
#include "matrix_tile.glsl"

// q6_k has a scale for 16 values: its blocks are two parts. Where one cooperative matrix takes a whole block, each part is
// staged as a block of its own whose other half is zero.
const bool HALVES = ENCODING == kEncodingQ6_K;
const uint PARTS = HALVES ? 2 : 1;
const bool PADDED = HALVES && K > 16;
const uint PART_STEPS = (HALVES && !PADDED ? 16 : 32) / K;  ///< cooperative matrices along a part
const bool HAS_OFFSET = HAS_GROUPED_MINIMUM || ENCODING == kEncodingQ4_K || ENCODING == kEncodingQ5_K;

// In octets of values; two more than needed keep rows on different banks and at multiples of 16 bytes.
const uint WEIGHT_OCTETS = PADDED ? 8 : 4;  ///< of a block
const uint WEIGHT_STRIDE = DEPTH * WEIGHT_OCTETS + 2;
const uint X_STRIDE = DEPTH * 4 + 2;
shared uvec2 weight_bytes[STAGES * TILE_ROWS * WEIGHT_STRIDE];
shared uvec2 x_bytes[STAGES * TILE_TOKENS * X_STRIDE];
shared float weight_scales[STAGES * PARTS * DEPTH * TILE_ROWS];  ///< [stage][block][part][row]
shared float weight_offsets[HAS_OFFSET ? STAGES * DEPTH * TILE_ROWS : 4];
shared float x_scales[STAGES * DEPTH * TILE_TOKENS];  ///< [stage][block][token]
shared float x_sums[HAS_OFFSET ? STAGES * DEPTH * TILE_TOKENS : 4];

#define Weights coopmat<int8_t, gl_ScopeSubgroup, M, K, gl_MatrixUseA>
#define Vectors coopmat<int8_t, gl_ScopeSubgroup, K, N, gl_MatrixUseB>
#define IntSums coopmat<int, gl_ScopeSubgroup, M, N, gl_MatrixUseAccumulator>

// A thread stages one block of the rows, and of the tokens, row_of_thread, that + ROWS_AT_ONCE and so on.
const uint ROWS_AT_ONCE = TEAM / DEPTH;
const uint WEIGHT_LOADS = (TILE_ROWS + ROWS_AT_ONCE - 1) / ROWS_AT_ONCE;
const uint X_LOADS = (TILE_TOKENS + ROWS_AT_ONCE - 1) / ROWS_AT_ONCE;

// Time goes by the lines and banks that each load and store touches (docs/performance.md), so lanes are dealt out to touch few:
// neighbouring lanes take neighbouring blocks, which share lines of memory, and each eight lanes, which write to shared memory
// together, four blocks of two rows, as eight blocks of one row would meet on the same banks.
uint block_of_thread() {
  const uint t = team_thread();
  return DEPTH == 8 ? t % 4 + 4 * (t / 8 % 2) : t % DEPTH;
}
uint row_of_thread() {
  const uint t = team_thread();
  return DEPTH == 8 ? t / 4 % 2 + 2 * (t / 16) : t / DEPTH;
}

struct XBlock {
  uvec4 low, high;
  vec2 pair;
};

/// Where a thread's blocks of the next stage to be loaded are, in memory.
struct Source {
  BlockPlace weights[WEIGHT_LOADS];
  WeightMatrix matrices[MATRICES == 1 ? 1 : WEIGHT_LOADS];
  uint x[X_LOADS];
};

void find_source(WeightMatrix m[MATRICES], uint first_row, MatrixInput x, out Source source) {
  const uint block = min(team_index() * DEPTH + block_of_thread(), x.blocks - 1);
  [[unroll]] for (uint i = 0; i < WEIGHT_LOADS; ++i) {
    const uvec2 place = place_of(min(i * ROWS_AT_ONCE + row_of_thread(), TILE_ROWS - 1));
    const uint at = MATRICES == 1 ? 0 : i;
    source.matrices[at] = m[0];
    if (place.y != 0) source.matrices[at] = m[MATRICES - 1];
    source.weights[i] = place_block(m[0], min(first_row + place.x, m[0].padded_rows - 1), block);
  }
  [[unroll]] for (uint i = 0; i < X_LOADS; ++i) {
    const uint token = min(x.first_token + min(i * ROWS_AT_ONCE + row_of_thread(), TILE_TOKENS - 1), x.tokens - 1);
    source.x[i] = token * x.blocks + block;
  }
}

void advance(inout Source source, uint blocks) {
  [[unroll]] for (uint i = 0; i < WEIGHT_LOADS; ++i) advance(source.weights[i], blocks);
  [[unroll]] for (uint i = 0; i < X_LOADS; ++i) source.x[i] += blocks;
}

/// What a thread loads of a stage.
struct Stage {
  RawBlock weights[WEIGHT_LOADS];
  XBlock x[X_LOADS];
};

void load_stage(Source source, MatrixInput x, out Stage stage) {
  [[unroll]] for (uint i = 0; i < WEIGHT_LOADS; ++i) {
    stage.weights[i] = load_words(source.matrices[MATRICES == 1 ? 0 : i], source.weights[i]);
  }
  [[unroll]] for (uint i = 0; i < X_LOADS; ++i) {
    stage.x[i] = XBlock(x.x.v[2 * source.x[i]], x.x.v[2 * source.x[i] + 1], x.pairs.v[source.x[i]]);
  }
}

/// Takes 16 from each byte where the encoding's offset is that, so that it needs no products of its own.
uint centred(uint word) { return ENCODING == kEncodingQ5_0 ? (word + 0x70707070u) ^ 0x80808080u : word; }

/// `first_block` is the stage's, `source_row` the row of the matrix.
void store_weights(uint buffer_index, uint i, RawBlock raw, uint source_row, uint first_block) {
  const uint row = i * ROWS_AT_ONCE + row_of_thread(), d = block_of_thread();
  if (TILE_ROWS % ROWS_AT_ONCE != 0 && row >= TILE_ROWS) return;
  split_words(raw, source_row);
  const ByteBlock bytes = unpack_bytes(raw, first_block + d);
  const uint to = (buffer_index * TILE_ROWS + row) * WEIGHT_STRIDE + d * WEIGHT_OCTETS;
  [[unroll]] for (uint o = 0; o < 4; ++o) {
    const uvec2 octet = uvec2(centred(bytes.words[2 * o]), centred(bytes.words[2 * o + 1]));
    if (PADDED) {
      const bool first_half = o < 2;
      weight_bytes[to + o] = first_half ? octet : uvec2(0);
      weight_bytes[to + o + WEIGHT_OCTETS - 4] = first_half ? uvec2(0) : octet;
    } else {
      weight_bytes[to + o] = octet;
    }
  }
  const uint stage_block = buffer_index * DEPTH + d;
  [[unroll]] for (uint p = 0; p < PARTS; ++p) weight_scales[(stage_block * PARTS + p) * TILE_ROWS + row] = bytes.scales[p];
  if (HAS_OFFSET) weight_offsets[stage_block * TILE_ROWS + row] = bytes.offset;
}

void store_x(uint buffer_index, uint i, XBlock x) {
  const uint token = i * ROWS_AT_ONCE + row_of_thread(), d = block_of_thread();
  if (TILE_TOKENS % ROWS_AT_ONCE != 0 && token >= TILE_TOKENS) return;
  const uint to = (buffer_index * TILE_TOKENS + token) * X_STRIDE + 4 * d;
  x_bytes[to] = x.low.xy;
  x_bytes[to + 1] = x.low.zw;
  x_bytes[to + 2] = x.high.xy;
  x_bytes[to + 3] = x.high.zw;
  const uint stage_block = buffer_index * DEPTH + d;
  x_scales[stage_block * TILE_TOKENS + token] = x.pair.x;
  if (HAS_OFFSET) x_sums[stage_block * TILE_TOKENS + token] = x.pair.y;
}

void store_stage(uint buffer_index, Stage stage, Source source, uint first_block) {
  [[unroll]] for (uint i = 0; i < WEIGHT_LOADS; ++i) {
    store_weights(buffer_index, i, stage.weights[i], source.weights[i].row, first_block);
  }
  [[unroll]] for (uint i = 0; i < X_LOADS; ++i) store_x(buffer_index, i, stage.x[i]);
}

void add_part(Part part, uint buffer_index, uint d, uint p, inout Sums sums[TILES]) {
  Weights weights[ROW_TILES * PART_STEPS];
  Sums row_scales[ROW_TILES], row_offsets[HAS_OFFSET ? ROW_TILES : 1];
  const uint stage_block = buffer_index * DEPTH + d;
  const uint first_octet = PADDED ? 4 * p : 2 * p * (PARTS - 1);  // of the part, in the block
  [[unroll]] for (uint r = 0; r < ROW_TILES; ++r) {
    const uint row = part.row + r * M;
    [[unroll]] for (uint s = 0; s < PART_STEPS; ++s) {
      coopMatLoad(weights[r * PART_STEPS + s], weight_bytes,
                  (buffer_index * TILE_ROWS + row) * WEIGHT_STRIDE + d * WEIGHT_OCTETS + first_octet + s * (K / 8), WEIGHT_STRIDE,
                  gl_CooperativeMatrixLayoutRowMajor);
    }
    LOAD_ROWS(row_scales[r], weight_scales, (stage_block * PARTS + p) * TILE_ROWS + row);
    if (HAS_OFFSET) LOAD_ROWS(row_offsets[r], weight_offsets, stage_block * TILE_ROWS + row);
  }
  [[unroll]] for (uint t = 0; t < TOKEN_TILES; ++t) {
    const uint token = part.token + t * N;
    Vectors vectors[PART_STEPS];
    [[unroll]] for (uint s = 0; s < PART_STEPS; ++s) {
      coopMatLoad(vectors[s], x_bytes, (buffer_index * TILE_TOKENS + token) * X_STRIDE + d * 4 + (PADDED ? 0 : first_octet) + s * (K / 8), X_STRIDE,
                  gl_CooperativeMatrixLayoutColumnMajor);
    }
    Sums token_scales, token_sums;
    LOAD_TOKENS(token_scales, x_scales, stage_block * TILE_TOKENS + token);
    if (HAS_OFFSET) LOAD_TOKENS(token_sums, x_sums, stage_block * TILE_TOKENS + token);
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

/// This subgroup's sums, whole in the team that has the result.
void multiply_tile(WeightMatrix m[MATRICES], uint first_row, MatrixInput x, Part part, out Sums sums[TILES]) {
  [[unroll]] for (uint i = 0; i < TILES; ++i) sums[i] = Sums(0);
  const uint round = TEAMS * DEPTH;
  Source source;
  find_source(m, first_row, x, source);
  Stage next;
  load_stage(source, x, next);
  uint buffer_index = team_index() * BUFFERS;
  for (uint block = team_index() * DEPTH; block < x.blocks; block += round) {
    store_stage(buffer_index, next, source, block);
    team_barrier();
    // Behind the last stage it is loaded once more: a load without a condition is one that the compiler can move.
    advance(source, block + round < x.blocks ? round : 0);
    load_stage(source, x, next);
    // Not unrolled: NVIDIA's compiler would load all blocks' matrices at once and run out of registers.
    [[dont_unroll]] for (uint d = 0; d < DEPTH; ++d) {
      [[unroll]] for (uint p = 0; p < PARTS; ++p) add_part(part, buffer_index, d, p, sums);
    }
    if (BUFFERS == 1) {
      team_barrier();
    } else {
      buffer_index ^= 1;
    }
  }
  add_turns(sums);
}
