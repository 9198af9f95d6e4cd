#version 460
#extension GL_GOOGLE_include_directive : require
// GateUp on cooperative matrices of f16 filled in registers, for weights in blocks: a subgroup has both sums of an output.
#include "common.glsl"
const uint MATRICES = 2;
layout(constant_id = 20) const uint ACTIVATION = 0;
layout(constant_id = 21) const bool LOGIT_ROWS = false;
layout(constant_id = 22) const bool KEEPS_LARGEST = false;  ///< for quantize.comp
#include "fragment_tokens.glsl"
#include "activation.glsl"

layout(push_constant) uniform Arguments { GateUpArguments a; };

/// Neighbouring lanes whose results are rows of one token.
const uint LANES_OF_TOKEN = TOKEN_RESULTS < SUBGROUP ? TOKEN_RESULTS : SUBGROUP;

/// Of WIDTH rows.
vec4 output_values(uint row, uint token, uint r) {
  const float scale = FloatsIn(a.x_pairs).v[token];
  const vec4 gates = whole_sums(0, r) * (scale * a.gate_unit), ups = whole_sums(1, r) * (scale * a.up_unit);
  vec4 values = vec4(0);
  [[unroll]] for (uint n = 0; n < WIDTH; ++n) {
    float gate = gates[n], up = ups[n];
    if (HAS_BIAS) {
      const uint safe = min(row + n, a.rows - 1);
      gate += a.bias.v[safe];
      up += a.bias.v[a.rows + safe];
    }
    values[n] = row + n < a.rows ? activate(gate) * up : 0;
  }
  return values;
}

void main() {
  const uint tokens = LOGIT_ROWS ? a.step.header.logit_rows : a.step.header.tokens;
  if (gl_WorkGroupID.x * TOKEN_TILES * N >= tokens) return;
  const uint padded_rows = (a.rows + kRowPadding - 1) / kRowPadding * kRowPadding;
  multiply_fragments(WeightMatrix[MATRICES](WeightMatrix(a.gate, a.blocks, padded_rows),
                                                WeightMatrix(a.up, a.blocks, padded_rows)), a.x,
                     float[MATRICES](a.gate_unit, a.up_unit), a.rows >> 31);
  [[dont_unroll]] for (uint i = 0; i < STRIPS * TOKEN_TILES; ++i) {
    share_sums(i);
    barrier();
    for (uint r = thread_index(); r < RESULTS; r += THREADS) {
      const uint row = row_of(i, r), token = token_of(i, r);
      vec4 value = vec4(0);
      if (token < tokens && row < a.rows) {
        value = output_values(row, token, r);
        store_values(a.result, token * a.rows + row, a.rows - row, a.rows % 4 == 0, value);
      }
      if (!KEEPS_LARGEST) continue;
      const vec4 size = abs(value);
      float largest = max(max(size.x, size.y), max(size.z, size.w));
      for (uint mask = 1; mask < LANES_OF_TOKEN; mask <<= 1) largest = max(largest, subgroupShuffleXor(largest, mask));
      if (r % LANES_OF_TOKEN != 0 || token >= tokens) continue;
      atomicMax(a.largest.v[token * kLargestStride], floatBitsToUint(largest));
    }
    barrier();
  }
}
