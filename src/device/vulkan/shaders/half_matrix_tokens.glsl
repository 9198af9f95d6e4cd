// Matrix times many vectors by cooperative matrices of f16, with sums in float32. How weights come to be halves is in the
// files included below: those in f16 and bf16 are scaled by a power of two for each row, and activations are sums of two
// halves (split_floats.comp), so that a token's sums are those of the few-token kernels but for the order of additions and the
// 22nd bit of an activation; blocks are decoded, and activations are their bytes times their scales (halve_bytes.comp), either
// rounded to 11 bits.
//
// A stage (matrix_tile.glsl) is the next OCTETS times eight values of every row, in the order in which they lie in memory.
// Activations lie in the same order.

#extension GL_EXT_shader_explicit_arithmetic_types_float16 : require
#include "halves.glsl"
#include "matrix_tile.glsl"

const uint OCTETS = 2 * DEPTH;
const uint STRIDE = OCTETS + 1;  ///< of a row in shared memory: rows on different banks
const uint STEPS = 16 / K;       ///< cooperative matrices along 16 values
shared uvec4 weight_halves[STAGES * TILE_ROWS * STRIDE];
shared uvec4 x_halves[STAGES * HALVES * TILE_TOKENS * STRIDE];  ///< [stage][upper, lower][token]
shared float token_scales[TILE_TOKENS];                         ///< that undo the powers of two

#ifdef DECODE_BLOCKS
#include "decoded_weights.glsl"
#else
#include "half_weights.glsl"
#endif

#define Weights coopmat<float16_t, gl_ScopeSubgroup, M, K, gl_MatrixUseA>
#define Vectors coopmat<float16_t, gl_ScopeSubgroup, K, N, gl_MatrixUseB>

// A thread stages octets team_thread(), that + TEAM and so on of the tokens' upper halves, one token after another, and then of
// their lower ones.
const uint X_LOADS = (HALVES * TILE_TOKENS * OCTETS + TEAM - 1) / TEAM;

uint row_of_load(uint i) { return (i * TEAM + team_thread()) / OCTETS; }
uint octet_of_load(uint i) { return (i * TEAM + team_thread()) % OCTETS; }

/// Where a thread's octets of the next stage to be loaded are.
struct XSource {
  uint x[X_LOADS];
};

void find_x(MatrixInput x, out XSource source) {
  const uint octets = 4 * x.blocks, first = team_index() * OCTETS;
  [[unroll]] for (uint i = 0; i < X_LOADS; ++i) {
    const uint row = min(row_of_load(i), HALVES * TILE_TOKENS - 1);
    const uint token = min(x.first_token + row % TILE_TOKENS, x.tokens - 1);
    source.x[i] = (HALVES * token + row / TILE_TOKENS) * octets + first + octet_of_load(i);
  }
}

/// What a thread loads of a stage.
struct Stage {
  WeightStage weights;
  uvec4 x[X_LOADS];
};

void load_stage(WeightSource weights, XSource source, MatrixInput x, out Stage stage) {
  load_weights(weights, stage.weights);
  [[unroll]] for (uint i = 0; i < X_LOADS; ++i) stage.x[i] = x.x.v[source.x[i]];
}

void store_stage(uint buffer_index, Stage stage, WeightSource weights) {
  store_weights(buffer_index, stage.weights, weights);
  [[unroll]] for (uint i = 0; i < X_LOADS; ++i) {
    const uint row = row_of_load(i);
    if (HALVES * TILE_TOKENS * OCTETS % TEAM != 0 && row >= HALVES * TILE_TOKENS) continue;
    x_halves[(buffer_index * HALVES * TILE_TOKENS + row) * STRIDE + octet_of_load(i)] = stage.x[i];
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
    [[unroll]] for (uint half_of = 0; half_of < HALVES; ++half_of) {
      const uint token = (buffer_index * HALVES + half_of) * TILE_TOKENS + part.token + t * N;
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

void store_token_scales(MatrixInput x) {
  for (uint i = thread_index(); i < TILE_TOKENS; i += THREADS) {
    token_scales[i] = FloatsIn(x.pairs).v[min(x.first_token + i, x.tokens - 1)];
  }
}

void undo_token_powers(Part part, inout Sums sums[TILES]) {
  [[unroll]] for (uint i = 0; i < TILES; ++i) {
    Sums token;
    LOAD_TOKENS(token, token_scales, part.token + i % TOKEN_TILES * N);
    sums[i] *= token;
  }
}

/// This subgroup's sums, whole in the team that has the result.
void multiply_tile(WeightMatrix m[MATRICES], uint first_row, MatrixInput x, Part part, out Sums sums[TILES]) {
  store_row_scales(m, first_row);  // before anything is loaded (docs/vulkan.md)
  store_token_scales(x);
  [[unroll]] for (uint i = 0; i < TILES; ++i) sums[i] = Sums(0);
  const uint octets = 4 * x.blocks, round = TEAMS * OCTETS;
  WeightSource weights;
  XSource source;
  find_weights(m, first_row, weights);
  find_x(x, source);
  Stage next;
  load_stage(weights, source, x, next);
  uint buffer_index = team_index() * BUFFERS;
  for (uint octet = team_index() * OCTETS; octet < octets; octet += round) {
    store_stage(buffer_index, next, weights);
    team_barrier();
    // Behind the last stage it is loaded once more: a load without a condition is one that the compiler can move.
    const uint ahead = octet + round < octets ? round : 0;
    advance(weights, ahead);
    [[unroll]] for (uint i = 0; i < X_LOADS; ++i) source.x[i] += ahead;
    load_stage(weights, source, x, next);
    // Not unrolled: all matrices of a stage at once would take more registers than there are.
    [[dont_unroll]] for (uint d = 0; d < DEPTH; ++d) add_values(part, buffer_index, d, sums);
    if (BUFFERS == 1) {
      team_barrier();
    } else {
      buffer_index ^= 1;
    }
  }
  add_turns(sums);
  undo_row_powers(part, sums);
  undo_token_powers(part, sums);
}
