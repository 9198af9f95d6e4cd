#version 460
#extension GL_GOOGLE_include_directive : require
// Linear and Logits for 1 to 16 tokens, and with FIXED_ORDER for any number.
#include "common.glsl"
layout(constant_id = 8) const uint FLAGS = 0;
layout(constant_id = 9) const bool FIXED_ORDER = false;
layout(constant_id = 10) const bool LOGIT_ROWS = false;
layout(constant_id = 11) const bool JOINED = false;
const uint MATRICES = 1;
#include "few_tokens.glsl"
const uint ACTIVATION = 0;
#include "activation.glsl"

layout(push_constant) uniform Arguments { LinearArguments a; };

void main() {
  const uint tokens = LOGIT_ROWS ? a.step.header.logit_rows : a.step.header.tokens;
  if (FIXED_ORDER && first_token() >= tokens) return;
  const uint first = gl_WorkGroupID.x * OUTPUTS;
  const uint padded_rows = (a.rows + kRowPadding - 1) / kRowPadding * kRowPadding;
  WeightMatrix m[MATRICES] = WeightMatrix[MATRICES](WeightMatrix(a.weight, a.blocks, padded_rows));
  float sums[MATRICES][ROWS][TOKENS];
  // Clusters beyond the end compute the last rows again: they must take part in the barrier.
  multiply_lane(m, min(first + first_output(), padded_rows - ROWS),
                FewInput(a.x, a.x_pairs, a.blocks, first_token(), a.rows >> 31), sums);
  reduce_sums(sums);

  for (uint i = thread_index(); i < TOKENS * OUTPUTS; i += THREADS) {
    const uint row = first + i % OUTPUTS;
    if (row >= a.rows) continue;
    float value = times(whole_sum(0, i / OUTPUTS, i % OUTPUTS), a.scale);
    if ((FLAGS & kFlagBias) != 0) value = add(value, a.bias.v[a.first_row + row]);
    if ((FLAGS & kFlagSoftcap) != 0) value = soft_cap(value, a.softcap);
    a.result.v[(first_token() + i / OUTPUTS) * a.out_width + a.first_row + row] = value;
  }
}
