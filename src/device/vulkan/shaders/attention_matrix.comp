#version 460
#extension GL_GOOGLE_include_directive : require
#extension GL_KHR_cooperative_matrix : require
#extension GL_EXT_shader_explicit_arithmetic_types_float16 : require
#extension GL_KHR_shader_subgroup_vote : require
// Attention of a tile of consecutive tokens of one sequence by matrix units (Dao, "FlashAttention-2", arXiv 2307.08691).
// Rows are queries: token n / GROUP of the tile, head n % GROUP. Each subgroup owns ROWS of them for all keys and keeps
// their sums in float32 accumulators; keys and values go through shared memory for all subgroups. Scores leave the matrix
// unit through shared memory too, since nobody says which lane holds which of them.
#include "attention.glsl"
layout(constant_id = 7) const uint ROWS = 16;     ///< of a matrix; those of a subgroup
layout(constant_id = 8) const uint COLUMNS = 16;  ///< of an accumulator
layout(constant_id = 9) const uint DEPTH = 16;    ///< of a multiplication
layout(constant_id = 10) const uint KEYS = 32;    ///< at once; a multiple of 32
layout(constant_id = 11) const bool QUERIES_IN_REGISTERS = true;
layout(constant_id = 12) const bool TRANSPOSE_VALUES = false;  ///< on their way into shared memory
layout(constant_id = 13) const bool TAKE_TURNS = false;  ///< keys and values in the same place, one after the other

const uint SUBGROUPS = THREADS / SUBGROUP;
const uint QUERIES = SUBGROUPS * ROWS;
const uint ROW_LANES = SUBGROUP / ROWS;
const uint LANE_QUADS = KEYS / 4 / ROW_LANES;  ///< of a row's scores

// Strides of rows in shared memory in groups of four, padded so that rows start in different banks.
const uint HEAD_STRIDE = (HEAD_DIM + 8) / 4;
const uint SCORE_STRIDE = (KEYS + 4) / 4;
const uint WEIGHT_STRIDE = (KEYS + 8) / 4;

// Queries, then keys and values: in the same place where queries are held in registers.
const uint QUERY_QUADS = QUERIES * HEAD_STRIDE;
const uint VALUE_QUADS = TRANSPOSE_VALUES ? HEAD_DIM * WEIGHT_STRIDE : KEYS * HEAD_STRIDE;
const uint KEYS_AT = QUERIES_IN_REGISTERS ? 0 : QUERY_QUADS;
const uint KEY_QUADS = KEYS * HEAD_STRIDE;
const uint VALUES_AT = TAKE_TURNS ? KEYS_AT : KEYS_AT + KEY_QUADS;
const uint STAGED_END = TAKE_TURNS && KEY_QUADS > VALUE_QUADS ? KEYS_AT + KEY_QUADS : VALUES_AT + VALUE_QUADS;
const uint HALF_QUADS = QUERY_QUADS > STAGED_END ? QUERY_QUADS : STAGED_END;
shared f16vec4 halves[HALF_QUADS];
shared vec4 scores[QUERIES * SCORE_STRIDE];  ///< at the end the results, KEYS columns at a time
shared f16vec4 weights[QUERIES * WEIGHT_STRIDE];
shared float row_factors[QUERIES];

#define QueryMatrix coopmat<float16_t, gl_ScopeSubgroup, ROWS, DEPTH, gl_MatrixUseA>
#define KeyMatrix coopmat<float16_t, gl_ScopeSubgroup, DEPTH, COLUMNS, gl_MatrixUseB>
#define SumMatrix coopmat<float, gl_ScopeSubgroup, ROWS, COLUMNS, gl_MatrixUseAccumulator>

QueryMatrix query[QUERIES_IN_REGISTERS ? HEAD_DIM / DEPTH : 1];
SumMatrix sums[HEAD_DIM / COLUMNS];

// What a lane knows of its row's softmax: the same in the row's ROW_LANES lanes.
float top = NOTHING, denominator = 0;

uint first_row() { return gl_SubgroupID * ROWS; }
uint lane_row() { return first_row() + gl_SubgroupInvocationID / ROW_LANES; }

f16vec4 four_halves(uint low, uint high) { return f16vec4(unpackFloat2x16(low), unpackFloat2x16(high)); }

void stage_queries(AttentionTile tile, uint kv_head) {
  for (uint i = thread_index(); i < QUERIES * QUADS; i += THREADS) {
    const uint n = i / QUADS, quad = i % QUADS;
    const uint token = tile.first_row + min(n / GROUP, tile.token_count - 1);
    const uint at = (token * a.kv_heads * GROUP + kv_head * GROUP + n % GROUP) * QUADS + quad;
    const vec4 value = clamp(Vec4sIn(a.query).v[at] * a.scale, -65504, 65504);
    halves[n * HEAD_STRIDE + quad] = f16vec4(value);
  }
}

void load_queries() {
  [[unroll]] for (uint d = 0; d < HEAD_DIM / DEPTH; ++d) {
    coopMatLoad(query[d], halves, first_row() * HEAD_STRIDE + d * DEPTH / 4, HEAD_STRIDE,
                gl_CooperativeMatrixLayoutRowMajor);
  }
}

void stage_keys(AttentionTile tile, uint kv_head, uint first, uint last) {
  for (uint i = thread_index(); i < KEYS * CHUNKS; i += THREADS) {
    const uint k = i / CHUNKS, chunk = i % CHUNKS;
    const uvec4 packed = a.cache.v[key_row(tile, kv_head, min(first + k, last)) * CHUNKS + chunk];
    const uint at = KEYS_AT + k * HEAD_STRIDE + 2 * chunk;
    halves[at] = four_halves(packed.x, packed.y);
    halves[at + 1] = four_halves(packed.z, packed.w);
  }
}

/// Values of keys that do not exist must be finite: their weights are 0. The last key's are.
void stage_values(AttentionTile tile, uint kv_head, uint first, uint last) {
  if (!TRANSPOSE_VALUES) {
    for (uint i = thread_index(); i < KEYS * CHUNKS; i += THREADS) {
      const uint k = i / CHUNKS, chunk = i % CHUNKS;
      const uint row = key_row(tile, kv_head, min(first + k, last)) + kCacheBlockTokens;
      const uvec4 packed = a.cache.v[row * CHUNKS + chunk];
      const uint at = VALUES_AT + k * HEAD_STRIDE + 2 * chunk;
      halves[at] = four_halves(packed.x, packed.y);
      halves[at + 1] = four_halves(packed.z, packed.w);
    }
    return;
  }
  for (uint i = thread_index(); i < KEYS / 4 * CHUNKS; i += THREADS) {
    const uint k = i % (KEYS / 4), chunk = i / (KEYS / 4);
    f16vec4 low[4], high[4];
    [[unroll]] for (uint j = 0; j < 4; ++j) {
      const uint row = key_row(tile, kv_head, min(first + 4 * k + j, last)) + kCacheBlockTokens;
      const uvec4 packed = a.cache.v[row * CHUNKS + chunk];
      low[j] = four_halves(packed.x, packed.y);
      high[j] = four_halves(packed.z, packed.w);
    }
    [[unroll]] for (uint d = 0; d < 4; ++d) {
      const uint at = VALUES_AT + (8 * chunk + d) * WEIGHT_STRIDE + k;
      halves[at] = f16vec4(low[0][d], low[1][d], low[2][d], low[3][d]);
      halves[at + 4 * WEIGHT_STRIDE] = f16vec4(high[0][d], high[1][d], high[2][d], high[3][d]);
    }
  }
}

void score_keys() {
  SumMatrix products[KEYS / COLUMNS];
  [[unroll]] for (uint n = 0; n < KEYS / COLUMNS; ++n) products[n] = SumMatrix(0);
  [[unroll]] for (uint d = 0; d < HEAD_DIM / DEPTH; ++d) {
    QueryMatrix q;
    if (QUERIES_IN_REGISTERS) {
      q = query[d];
    } else {
      coopMatLoad(q, halves, first_row() * HEAD_STRIDE + d * DEPTH / 4, HEAD_STRIDE,
                  gl_CooperativeMatrixLayoutRowMajor);
    }
    [[unroll]] for (uint n = 0; n < KEYS / COLUMNS; ++n) {
      KeyMatrix k;
      coopMatLoad(k, halves, KEYS_AT + n * COLUMNS * HEAD_STRIDE + d * DEPTH / 4, HEAD_STRIDE,
                  gl_CooperativeMatrixLayoutColumnMajor);
      products[n] = coopMatMulAdd(q, k, products[n]);
    }
  }
  [[unroll]] for (uint n = 0; n < KEYS / COLUMNS; ++n) {
    coopMatStore(products[n], scores, first_row() * SCORE_STRIDE + n * COLUMNS / 4, SCORE_STRIDE,
                 gl_CooperativeMatrixLayoutRowMajor);
  }
}

/// Scores become weights relative to the highest score so far. Returns whether any row's highest changed.
bool weigh_keys(AttentionTile tile, uint first, bool all_seen) {
  const uint position = tile.first_position + min(lane_row() / GROUP, tile.token_count - 1);
  const uint seen_first = first_seen(position);
  vec4 score[LANE_QUADS];
  float higher = top;
  [[unroll]] for (uint i = 0; i < LANE_QUADS; ++i) {
    const uint quad = gl_SubgroupInvocationID % ROW_LANES + i * ROW_LANES;
    score[i] = scores[lane_row() * SCORE_STRIDE + quad];
    [[unroll]] for (uint j = 0; j < 4; ++j) {
      score[i][j] = capped(score[i][j]);
      const uint key = first + 4 * quad + j;
      if (!all_seen && (key < seen_first || key > position)) score[i][j] = NOTHING;
      higher = max(higher, score[i][j]);
    }
  }
  for (uint mask = 1; mask < ROW_LANES; mask <<= 1) higher = max(higher, subgroupShuffleXor(higher, mask));
  float sum = 0;
  [[unroll]] for (uint i = 0; i < LANE_QUADS; ++i) {
    // A row may see none of these keys, nor any before: then the highest is NOTHING itself.
    [[unroll]] for (uint j = 0; j < 4; ++j) score[i][j] = score[i][j] > NOTHING ? exp(score[i][j] - higher) : 0;
    sum += score[i].x + score[i].y + score[i].z + score[i].w;
    const uint quad = gl_SubgroupInvocationID % ROW_LANES + i * ROW_LANES;
    weights[lane_row() * WEIGHT_STRIDE + quad] = f16vec4(score[i]);
  }
  for (uint mask = 1; mask < ROW_LANES; mask <<= 1) sum += subgroupShuffleXor(sum, mask);
  const bool changed = subgroupAny(higher > top);
  const float factor = exp(top - higher);
  if (changed && gl_SubgroupInvocationID % ROW_LANES == 0) row_factors[lane_row()] = factor;
  denominator = denominator * factor + sum;
  top = higher;
  return changed;
}

void rescale_sums() {
  // A column of factors read with stride 0 is a matrix of as many equal columns.
  SumMatrix factors;
  coopMatLoad(factors, row_factors, first_row(), 0, gl_CooperativeMatrixLayoutColumnMajor);
  [[unroll]] for (uint n = 0; n < HEAD_DIM / COLUMNS; ++n) sums[n] *= factors;
}

void add_values() {
  [[unroll]] for (uint k = 0; k < KEYS / DEPTH; ++k) {
    QueryMatrix w;
    coopMatLoad(w, weights, first_row() * WEIGHT_STRIDE + k * DEPTH / 4, WEIGHT_STRIDE,
                gl_CooperativeMatrixLayoutRowMajor);
    [[unroll]] for (uint n = 0; n < HEAD_DIM / COLUMNS; ++n) {
      KeyMatrix v;
      if (TRANSPOSE_VALUES) {
        coopMatLoad(v, halves, VALUES_AT + n * COLUMNS * WEIGHT_STRIDE + k * DEPTH / 4, WEIGHT_STRIDE,
                    gl_CooperativeMatrixLayoutColumnMajor);
      } else {
        coopMatLoad(v, halves, VALUES_AT + k * DEPTH * HEAD_STRIDE + n * COLUMNS / 4, HEAD_STRIDE,
                    gl_CooperativeMatrixLayoutRowMajor);
      }
      sums[n] = coopMatMulAdd(w, v, sums[n]);
    }
  }
}

void write_result(AttentionTile tile, uint kv_head) {
  const uint own_head = kv_head * GROUP + lane_row() % GROUP;
  if (gl_SubgroupInvocationID % ROW_LANES == 0) {
    row_factors[lane_row()] = normalization(top, denominator, own_head);
  }
  for (uint first = 0; first < HEAD_DIM; first += KEYS) {
    subgroupBarrier();
    [[unroll]] for (uint n = 0; n < HEAD_DIM / COLUMNS; ++n) {
      if (n * COLUMNS >= first && n * COLUMNS < first + KEYS) {
        coopMatStore(sums[n], scores, first_row() * SCORE_STRIDE + (n * COLUMNS - first) / 4, SCORE_STRIDE,
                     gl_CooperativeMatrixLayoutRowMajor);
      }
    }
    subgroupBarrier();
    for (uint i = gl_SubgroupInvocationID; i < ROWS * KEYS / 4; i += SUBGROUP) {
      const uint row = first_row() + i / (KEYS / 4), quad = i % (KEYS / 4);
      const bool exists = first + 4 * quad < HEAD_DIM && row / GROUP < tile.token_count;
      write_quad(exists, tile.first_row + row / GROUP, kv_head * GROUP + row % GROUP, first / 4 + quad,
                 scores[row * SCORE_STRIDE + quad] * row_factors[row]);
    }
  }
}

void main() {
  const uint kv_head = gl_WorkGroupID.y;
  const uint tiles = a.step.header.tiles;
  if (gl_WorkGroupID.x >= tiles) return;
  // Later tiles of a prompt see more keys: they start first, so that none is left running alone.
  const AttentionTile tile = tile_of(a.step.header.singles + tiles - 1 - gl_WorkGroupID.x);
  const uint last = tile.first_position + tile.token_count - 1;
  const uint begin = first_seen(tile.first_position) / kCacheBlockTokens * kCacheBlockTokens;

  stage_queries(tile, kv_head);
  [[unroll]] for (uint n = 0; n < HEAD_DIM / COLUMNS; ++n) sums[n] = SumMatrix(0);
  if (QUERIES_IN_REGISTERS) {
    barrier();
    load_queries();
  }
  for (uint first = begin; first <= last; first += KEYS) {
    barrier();
    stage_keys(tile, kv_head, first, last);
    if (!TAKE_TURNS) stage_values(tile, kv_head, first, last);
    barrier();
    score_keys();
    if (TAKE_TURNS) {
      barrier();
      stage_values(tile, kv_head, first, last);
      barrier();
    }
    subgroupBarrier();
    const bool all_seen = first >= first_seen(last) && first + KEYS - 1 <= tile.first_position;
    const bool changed = weigh_keys(tile, first, all_seen);
    subgroupBarrier();
    if (changed) rescale_sums();
    add_values();
  }
  write_result(tile, kv_head);
}
