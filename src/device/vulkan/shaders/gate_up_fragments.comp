#version 460
#extension GL_GOOGLE_include_directive : require
// GateUp on cooperative matrices of f16 filled in registers, for weights in blocks: a subgroup has both sums of an output.
#include "common.glsl"
const uint MATRICES = 2;
layout(constant_id = 16) const uint ACTIVATION = 0;
layout(constant_id = 17) const bool LOGIT_ROWS = false;
layout(constant_id = 18) const bool KEEPS_LARGEST = false;  ///< for quantize.comp
#include "fragment_tokens.glsl"
#include "activation.glsl"

layout(push_constant) uniform Arguments { GateUpArguments a; };

float output_value(uint strip_and_tile, uint element) {
  const uint row = row_of(strip_and_tile, element);
  const float scale = FloatsIn(a.x_pairs).v[token_of(strip_and_tile, element)];
  float gate = whole_sum(0, element) * scale, up = whole_sum(1, element) * scale;
  if (HAS_BIAS) {
    gate += a.bias.v[row];
    up += a.bias.v[a.rows + row];
  }
  return activate(gate) * up;
}

void main() {
  const uint tokens = LOGIT_ROWS ? a.step.header.logit_rows : a.step.header.tokens;
  if (gl_WorkGroupID.x * TOKEN_TILES * N >= tokens) return;
  const uint padded_rows = (a.rows + kRowPadding - 1) / kRowPadding * kRowPadding;
  multiply_fragments(WeightMatrix[MATRICES](WeightMatrix(a.gate, a.blocks, padded_rows),
                                                WeightMatrix(a.up, a.blocks, padded_rows)), a.x);
  [[dont_unroll]] for (uint i = 0; i < STRIPS * TOKEN_TILES; ++i) {
    share_sums(i);
    barrier();
    for (uint e = thread_index(); e < ELEMENTS; e += THREADS) {  // neighbouring lanes have neighbouring rows of a token
      const uint row = row_of(i, e), token = token_of(i, e);
      float value = 0;
      if (token < tokens && row < a.rows) {
        value = output_value(i, e);
        a.result.v[token * a.rows + row] = value;
      }
      if (!KEEPS_LARGEST) continue;
      float largest = abs(value);
      for (uint mask = 1; mask < min(M, SUBGROUP); mask <<= 1) largest = max(largest, subgroupShuffleXor(largest, mask));
      if (e % min(M, SUBGROUP) != 0 || token >= tokens) continue;
      atomicMax(a.largest.v[token * kLargestStride], floatBitsToUint(largest));
    }
    barrier();
  }
}
