#version 460
#extension GL_GOOGLE_include_directive : require
// GateUp for 1 to 16 tokens, and with FIXED_ORDER for any number: a workgroup computes whole blocks of 32 outputs, so
// that it can quantise them itself.
#include "common.glsl"
layout(constant_id = 8) const uint ACTIVATION = 0;
layout(constant_id = 9) const bool QUANTIZED_RESULT = true;
layout(constant_id = 10) const bool FIXED_ORDER = false;
layout(constant_id = 11) const bool LOGIT_ROWS = false;
layout(constant_id = 12) const bool JOINED = false;
const uint MATRICES = 2;
#include "few_tokens.glsl"
#include "activation.glsl"
#include "quantize.glsl"

layout(push_constant) uniform Arguments { GateUpArguments a; };

float output_value(uint token, uint place) {
  float gate = whole_sum(0, token, place), up = whole_sum(1, token, place);
  if (HAS_BIAS) {
    const uint row = min(gl_WorkGroupID.x * OUTPUTS + place, a.rows - 1);
    gate = add(gate, a.bias.v[row]);
    up = add(up, a.bias.v[a.rows + row]);
  }
  return times(activate(gate), up);
}

void main() {
  const uint tokens = LOGIT_ROWS ? a.step.header.logit_rows : a.step.header.tokens;
  if (FIXED_ORDER && first_token() >= tokens) return;
  const uint first = gl_WorkGroupID.x * OUTPUTS;
  const uint padded_rows = (a.rows + kRowPadding - 1) / kRowPadding * kRowPadding;
  WeightMatrix m[MATRICES] = WeightMatrix[MATRICES](WeightMatrix(a.gate, a.blocks, padded_rows),
                                                          WeightMatrix(a.up, a.blocks, padded_rows));
  float sums[MATRICES][ROWS][TOKENS];
  multiply_lane(m, min(first + first_output(), padded_rows - ROWS),
                FewInput(a.x, a.x_pairs, a.blocks, first_token(), a.rows >> 31), sums);
  reduce_sums(sums);

  if (!QUANTIZED_RESULT) {
    for (uint i = thread_index(); i < TOKENS * OUTPUTS; i += THREADS) {
      const uint row = first + i % OUTPUTS, t = i / OUTPUTS;
      if (row < a.rows) a.result.v[(first_token() + t) * a.rows + row] = output_value(t, i % OUTPUTS);
    }
    return;
  }
  const uint quads = TOKENS * OUTPUTS / 4;  // OUTPUTS is a multiple of 32
  for (uint i = thread_index(); i < (quads + SUBGROUP - 1) / SUBGROUP * SUBGROUP; i += THREADS) {
    const uint quad = min(i, quads - 1);  // whole clusters of eight are inside or outside
    const uint t = quad / (OUTPUTS / 4), place = quad % (OUTPUTS / 4) * 4;
    vec4 value;
    [[unroll]] for (uint n = 0; n < 4; ++n) value[n] = output_value(t, place + n);
    vec2 pair;
    const uint bytes = quantize_quad(value, pair);
    const uint at = (first_token() + t) * a.rows + first + place;
    if (i >= quads || first + place >= a.rows) continue;
    a.result_quants.v[at / 4] = bytes;
    if (place % 32 == 0) a.result_pairs.v[at / 32] = pair;
  }
}
