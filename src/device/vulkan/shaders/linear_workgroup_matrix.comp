#version 460
#extension GL_GOOGLE_include_directive : require
// Linear and Logits for many tokens on cooperative matrices of a whole workgroup.
#include "common.glsl"
const uint MATRICES = 1;
const bool FIXED_ORDER = false;
layout(constant_id = 2) const uint ENCODING = 4;
layout(constant_id = 3) const uint TILE_ROWS = 64;
layout(constant_id = 4) const uint TILE_TOKENS = 64;
layout(constant_id = 5) const uint DEPTH = 32;
layout(constant_id = 6) const bool WHOLE_ROWS = false;  ///< the weights are whole tiles
layout(constant_id = 7) const uint FLAGS = 0;
layout(constant_id = 8) const bool LOGIT_ROWS = false;
const uint ACTIVATION = 0;
#include "weights.glsl"
#include "activation.glsl"

layout(push_constant) uniform Arguments { LinearArguments a; };

uint rows_of_weights() { return a.rows; }
WeightMatrix matrix(uint i) {
  return WeightMatrix(a.weight, a.blocks, (a.rows + kRowPadding - 1) / kRowPadding * kRowPadding);
}
#include "workgroup_matrix_tokens.glsl"

uint first_row() { return gl_WorkGroupID.y * TILE_ROWS; }
uint first_token() { return gl_WorkGroupID.x * TILE_TOKENS; }

float finish(const in uint tile_row, const in uint tile_token, const in float sum) {
  const uint row = min(first_row() + tile_row, a.rows - 1);
  float value = undo_powers(sum, 0, row, FloatsIn(a.x_pairs).v[first_token() + tile_token]) * a.scale;
  if ((FLAGS & kFlagBias) != 0) value += a.bias.v[a.first_row + row];
  if ((FLAGS & kFlagSoftcap) != 0) value = soft_cap(value, a.softcap);
  return value;
}

void main() {
  const uint tokens = LOGIT_ROWS ? a.step.header.logit_rows : a.step.header.tokens;
  if (first_token() >= tokens) return;
  Sums sums[MATRICES];
  multiply_tile(first_row(), MatrixInput(HalvesIn(a.x), first_token(), a.blocks * 32), sums);
  coopMatPerElementNV(sums[0], sums[0], finish);
  store_tile(sums[0], a.result, a.first_row, a.out_width, first_row(), first_token(), tokens);
}
