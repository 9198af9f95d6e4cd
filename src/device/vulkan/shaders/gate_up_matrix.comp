#version 460
#extension GL_GOOGLE_include_directive : require
// GateUp for many tokens on cooperative matrices: gate and up of an output are the same element of two matrices of one
// subgroup.
#define CHAINABLE
#include "common.glsl"
layout(constant_id = 12) const uint ACTIVATION = 0;
layout(constant_id = 13) const bool LOGIT_ROWS = false;
const uint MATRICES = 2;
const bool FIXED_ORDER = false;
#include "matrix_tokens.glsl"
#include "activation.glsl"

layout(push_constant) uniform Arguments { GateUpArguments a; CHAIN; };
#include "chain.glsl"

void write_tile(uint first_row, MatrixInput x, Part part, Sums sums[TILES]) {
  const uint mine = gl_SubgroupID * M * N;  // of scratch
  [[unroll]] for (uint i = 0; i < TILES / 2; ++i) {
    Sums value = sums[i];
    [[unroll]] for (uint e = 0; e < value.length(); ++e) {
      value[e] = activate(value[e] * BYTE_UNIT) * (sums[i + TILES / 2][e] * BYTE_UNIT);
    }
    coopMatStore(value, scratch, mine, M, gl_CooperativeMatrixLayoutColumnMajor);
    subgroupBarrier();
    for (uint e = gl_SubgroupInvocationID; e < M * N; e += SUBGROUP) {
      const uint row = first_row + part.row / 2 + i / TOKEN_TILES * M + e % M;
      const uint token = x.first_token + part.token + i % TOKEN_TILES * N + e / M;
      if (token < x.tokens && row < a.rows && has_result()) a.result.v[token * a.rows + row] = scratch[mine + e];
    }
    subgroupBarrier();
  }
}

void multiply() {
  const uint tokens = LOGIT_ROWS ? a.step.header.logit_rows : a.step.header.tokens;
  MatrixInput x = MatrixInput(a.x, a.x_pairs, gl_WorkGroupID.x * TILE_TOKENS, tokens, a.blocks);
  if (x.first_token >= tokens) return;
  const uint padded_rows = (a.rows + kRowPadding - 1) / kRowPadding * kRowPadding;
  WeightMatrix m[MATRICES] = WeightMatrix[MATRICES](WeightMatrix(a.gate, a.blocks, padded_rows),
                                                    WeightMatrix(a.up, a.blocks, padded_rows));
  multiply_tiles(m, a.rows, x);
}

void main() {
  multiply();
  count_as_ended();
}
