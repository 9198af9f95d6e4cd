#version 460
#extension GL_GOOGLE_include_directive : require
// GateUp for many tokens on cooperative matrices of a whole workgroup: gate and up of an output are the same element of
// two matrices.
#include "common.glsl"
const uint MATRICES = 2;
const bool FIXED_ORDER = false;
layout(constant_id = 2) const uint ENCODING = 4;
layout(constant_id = 3) const uint TILE_ROWS = 64;
layout(constant_id = 4) const uint TILE_TOKENS = 64;
layout(constant_id = 5) const uint DEPTH = 32;
layout(constant_id = 6) const bool WHOLE_ROWS = false;  ///< gate and up are whole tiles
layout(constant_id = 7) const uint ACTIVATION = 0;
layout(constant_id = 8) const bool LOGIT_ROWS = false;
#include "weights.glsl"
#include "activation.glsl"

layout(push_constant) uniform Arguments { GateUpArguments a; };

uint rows_of_weights() { return a.rows; }
WeightMatrix matrix(uint i) {
  const uint padded_rows = (a.rows + kRowPadding - 1) / kRowPadding * kRowPadding;
  if (i == 0) return WeightMatrix(a.gate, a.blocks, padded_rows);
  return WeightMatrix(a.up, a.blocks, padded_rows);
}
#include "workgroup_matrix_tokens.glsl"

uint first_row() { return gl_WorkGroupID.y * TILE_ROWS; }
uint first_token() { return gl_WorkGroupID.x * TILE_TOKENS; }

float finish(const in uint tile_row, const in uint tile_token, const in float gate, const in float up) {
  const uint row = min(first_row() + tile_row, a.rows - 1);
  const float token_scale = FloatsIn(a.x_pairs).v[first_token() + tile_token];
  const float gate_bias = HAS_BIAS ? a.bias.v[row] : 0, up_bias = HAS_BIAS ? a.bias.v[a.rows + row] : 0;
  return activate(undo_powers(gate, 0, row, token_scale) + gate_bias) *
         (undo_powers(up, 1, row, token_scale) + up_bias);
}

void main() {
  const uint tokens = LOGIT_ROWS ? a.step.header.logit_rows : a.step.header.tokens;
  if (first_token() >= tokens) return;
  Sums sums[MATRICES];
  multiply_tile(first_row(), MatrixInput(HalvesIn(a.x), first_token(), a.blocks * 32), sums);
  coopMatPerElementNV(sums[0], sums[0], finish, sums[1]);
  store_tile(sums[0], a.result, 0, a.rows, first_row(), first_token(), tokens);
}
