// Matrix times many vectors by cooperative matrices of f16, for weights in f16 and bf16. Weights are scaled by a power of
// two for each row, activations (split_floats.comp) are sums of two halves with a power of two for each token, and all
// products of both halves add up in float32: so a token's sums are those of the few-token kernels but for the order of
// additions and the 22nd bit of an activation.
//
// A stage (matrix_tile.glsl) is the next OCTETS times eight values of every row, in the order in which they lie in memory.

#extension GL_EXT_shader_explicit_arithmetic_types_float16 : require
#include "halves.glsl"
#include "matrix_tile.glsl"

const uint OCTETS = 2 * DEPTH;
const uint STRIDE = OCTETS + 1;  ///< of a row in shared memory: rows on different banks
const uint STEPS = 16 / K;       ///< cooperative matrices along 16 values
shared uvec4 weight_halves[STAGES * TILE_ROWS * STRIDE];
shared uvec4 x_halves[STAGES * 2 * TILE_TOKENS * STRIDE];  ///< [stage][upper, lower][token]
shared float row_scales[TILE_ROWS];                        ///< that undo the powers of two
shared float token_scales[TILE_TOKENS];

#define Weights coopmat<float16_t, gl_ScopeSubgroup, M, K, gl_MatrixUseA>
#define Vectors coopmat<float16_t, gl_ScopeSubgroup, K, N, gl_MatrixUseB>

// A thread stages octets team_thread(), that + TEAM and so on of the rows, one row after another; likewise of the tokens'
// upper halves and then of their lower ones.
const uint WEIGHT_LOADS = (TILE_ROWS * OCTETS + TEAM - 1) / TEAM;
const uint X_LOADS = (2 * TILE_TOKENS * OCTETS + TEAM - 1) / TEAM;

uint row_of_load(uint i) { return (i * TEAM + team_thread()) / OCTETS; }
uint octet_of_load(uint i) { return (i * TEAM + team_thread()) % OCTETS; }

/// Where a thread's octets of the next stage to be loaded are, and what scales the weights.
struct Source {
  uint weights[WEIGHT_LOADS];
  Uvec4sIn matrices[MATRICES == 1 ? 1 : WEIGHT_LOADS];
  float powers[WEIGHT_LOADS];
  uint x[X_LOADS];
};

/// The row of the tile in its matrix, and the number of the matrix.
uvec2 row_in_matrix(WeightMatrix m, uint first_row, uint tile_row) {
  const uvec2 place = place_of(min(tile_row, TILE_ROWS - 1));
  return uvec2(min(first_row + place.x, m.padded_rows - 1), place.y);
}

float power_of_row(WeightMatrix m[MATRICES], uvec2 row) {
  return FloatsIn(row.y == 0 ? m[0].at.scales : m[MATRICES - 1].at.scales).v[row.x];
}

void find_source(WeightMatrix m[MATRICES], uint first_row, MatrixInput x, out Source source) {
  const uint octets = 4 * x.blocks, first = team_index() * OCTETS;
  [[unroll]] for (uint i = 0; i < WEIGHT_LOADS; ++i) {
    const uvec2 row = row_in_matrix(m[0], first_row, row_of_load(i));
    const uint at = MATRICES == 1 ? 0 : i;
    source.matrices[at] = m[0].at.quants;
    if (row.y != 0) source.matrices[at] = m[MATRICES - 1].at.quants;
    source.powers[i] = power_of_row(m, row);
    source.weights[i] = row.x * octets + first + octet_of_load(i);
  }
  [[unroll]] for (uint i = 0; i < X_LOADS; ++i) {
    const uint row = min(row_of_load(i), 2 * TILE_TOKENS - 1);
    const uint token = min(x.first_token + row % TILE_TOKENS, x.tokens - 1);
    source.x[i] = (2 * token + row / TILE_TOKENS) * octets + first + octet_of_load(i);
  }
}

void advance(inout Source source, uint octets) {
  [[unroll]] for (uint i = 0; i < WEIGHT_LOADS; ++i) source.weights[i] += octets;
  [[unroll]] for (uint i = 0; i < X_LOADS; ++i) source.x[i] += octets;
}

/// What a thread loads of a stage.
struct Stage {
  uvec4 weights[WEIGHT_LOADS];
  uvec4 x[X_LOADS];
};

void load_stage(Source source, MatrixInput x, out Stage stage) {
  [[unroll]] for (uint i = 0; i < WEIGHT_LOADS; ++i) {
    stage.weights[i] = source.matrices[MATRICES == 1 ? 0 : i].v[source.weights[i]];
  }
  [[unroll]] for (uint i = 0; i < X_LOADS; ++i) stage.x[i] = x.x.v[source.x[i]];
}

uint scaled_pair(uint pair, float power) {
  if (ENCODING == kEncodingF16) return packFloat2x16(unpackFloat2x16(pair) * float16_t(power));
  return packHalf2x16(uintBitsToFloat(uvec2(pair << 16, pair & 0xffff0000u)) * power);
}

void store_stage(uint buffer_index, Stage stage, Source source) {
  [[unroll]] for (uint i = 0; i < WEIGHT_LOADS; ++i) {
    const uint row = row_of_load(i);
    if (TILE_ROWS * OCTETS % TEAM != 0 && row >= TILE_ROWS) continue;
    uvec4 octet;
    [[unroll]] for (uint w = 0; w < 4; ++w) octet[w] = scaled_pair(stage.weights[i][w], source.powers[i]);
    weight_halves[(buffer_index * TILE_ROWS + row) * STRIDE + octet_of_load(i)] = octet;
  }
  [[unroll]] for (uint i = 0; i < X_LOADS; ++i) {
    const uint row = row_of_load(i);
    if (2 * TILE_TOKENS * OCTETS % TEAM != 0 && row >= 2 * TILE_TOKENS) continue;
    x_halves[(buffer_index * 2 * TILE_TOKENS + row) * STRIDE + octet_of_load(i)] = stage.x[i];
  }
}

/// Sixteen values of all rows and tokens.
void add_values(Part part, uint buffer_index, uint d, inout Sums sums[TILES]) {
  Weights weights[ROW_TILES * STEPS];
  [[unroll]] for (uint r = 0; r < ROW_TILES; ++r) {
    const uint row = buffer_index * TILE_ROWS + part.row + r * M;
    [[unroll]] for (uint s = 0; s < STEPS; ++s) {
      coopMatLoad(weights[r * STEPS + s], weight_halves, row * STRIDE + 2 * d + s * (K / 8), STRIDE,
                  gl_CooperativeMatrixLayoutRowMajor);
    }
  }
  [[unroll]] for (uint t = 0; t < TOKEN_TILES; ++t) {
    [[unroll]] for (uint half_of = 0; half_of < 2; ++half_of) {
      const uint token = (buffer_index * 2 + half_of) * TILE_TOKENS + part.token + t * N;
      [[unroll]] for (uint s = 0; s < STEPS; ++s) {
        Vectors vectors;
        coopMatLoad(vectors, x_halves, token * STRIDE + 2 * d + s * (K / 8), STRIDE, gl_CooperativeMatrixLayoutColumnMajor);
        [[unroll]] for (uint r = 0; r < ROW_TILES; ++r) {
          const uint sum = r * TOKEN_TILES + t;
          sums[sum] = coopMatMulAdd(weights[r * STEPS + s], vectors, sums[sum]);
        }
      }
    }
  }
}

void store_scales(WeightMatrix m[MATRICES], uint first_row, MatrixInput x) {
  for (uint i = thread_index(); i < TILE_ROWS; i += THREADS) {
    row_scales[i] = inverse_of_power(power_of_row(m, row_in_matrix(m[0], first_row, i)));
  }
  for (uint i = thread_index(); i < TILE_TOKENS; i += THREADS) {
    token_scales[i] = FloatsIn(x.pairs).v[min(x.first_token + i, x.tokens - 1)];
  }
  barrier();
}

/// One factor after the other: their product may overflow where the result does not.
void undo_powers(Part part, inout Sums sums[TILES]) {
  [[unroll]] for (uint i = 0; i < TILES; ++i) {
    Sums row, token;
    LOAD_ROWS(row, row_scales, part.row + i / TOKEN_TILES * M);
    LOAD_TOKENS(token, token_scales, part.token + i % TOKEN_TILES * N);
    sums[i] *= row;
    sums[i] *= token;
  }
}

/// This subgroup's sums, whole in the team that has the result.
void multiply_tile(WeightMatrix m[MATRICES], uint first_row, MatrixInput x, Part part, out Sums sums[TILES]) {
  store_scales(m, first_row, x);  // before anything is loaded (docs/vulkan.md)
  [[unroll]] for (uint i = 0; i < TILES; ++i) sums[i] = Sums(0);
  const uint octets = 4 * x.blocks, round = TEAMS * OCTETS;
  Source source;
  find_source(m, first_row, x, source);
  Stage next;
  load_stage(source, x, next);
  uint buffer_index = team_index() * BUFFERS;
  for (uint octet = team_index() * OCTETS; octet < octets; octet += round) {
    store_stage(buffer_index, next, source);
    team_barrier();
    // Behind the last stage it is loaded once more: a load without a condition is one that the compiler can move.
    advance(source, octet + round < octets ? round : 0);
    load_stage(source, x, next);
    // Not unrolled: all matrices of a stage at once would take more registers than there are.
    [[dont_unroll]] for (uint d = 0; d < DEPTH; ++d) add_values(part, buffer_index, d, sums);
    if (BUFFERS == 1) {
      team_barrier();
    } else {
      buffer_index ^= 1;
    }
  }
  add_turns(sums);
  undo_powers(part, sums);
}
