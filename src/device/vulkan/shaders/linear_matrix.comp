#version 460
#extension GL_GOOGLE_include_directive : require
// Linear and Logits for many tokens on cooperative matrices.
#define CHAINABLE
#include "common.glsl"
layout(constant_id = 12) const uint FLAGS = 0;
layout(constant_id = 13) const bool LOGIT_ROWS = false;
const uint MATRICES = 1;
const bool FIXED_ORDER = false;
#include "matrix_tokens.glsl"
const uint ACTIVATION = 0;
#include "activation.glsl"

layout(push_constant) uniform Arguments { LinearArguments a; CHAIN; };
#include "chain.glsl"

void write_tile(uint first_row, MatrixInput x, Part part, Sums sums[TILES]) {
  const uint mine = gl_SubgroupID * M * N;  // of scratch
  [[unroll]] for (uint i = 0; i < TILES; ++i) {
    coopMatStore(sums[i], scratch, mine, M, gl_CooperativeMatrixLayoutColumnMajor);
    subgroupBarrier();
    for (uint e = gl_SubgroupInvocationID; e < M * N; e += SUBGROUP) {
      const uint row = first_row + part.row + i / TOKEN_TILES * M + e % M;
      const uint token = x.first_token + part.token + i % TOKEN_TILES * N + e / M;
      if (token >= x.tokens || row >= a.rows || !has_result()) continue;
      float value = scratch[mine + e] * (a.scale * BYTE_UNIT);
      if ((FLAGS & kFlagBias) != 0) value += a.bias.v[a.first_row + row];
      if ((FLAGS & kFlagSoftcap) != 0) value = soft_cap(value, a.softcap);
      a.result.v[token * a.out_width + a.first_row + row] = value;
    }
    subgroupBarrier();
  }
}

void multiply() {
  const uint tokens = LOGIT_ROWS ? a.step.header.logit_rows : a.step.header.tokens;
  // Tiles of the same weights follow each other, so that the cache serves all but the first.
  MatrixInput x = MatrixInput(a.x, a.x_pairs, gl_WorkGroupID.x * TILE_TOKENS, tokens, a.blocks);
  if (x.first_token >= tokens) return;
  const uint padded_rows = (a.rows + kRowPadding - 1) / kRowPadding * kRowPadding;
  WeightMatrix m[MATRICES] = WeightMatrix[MATRICES](WeightMatrix(a.weight, a.blocks, padded_rows));
  multiply_tiles(m, a.rows, x);
}

void main() {
  multiply();
  count_as_ended();
}
