#version 460
#extension GL_GOOGLE_include_directive : require
// Linear and Logits for 1 to 16 tokens.
#include "common.glsl"
layout(constant_id = 8) const uint FLAGS = 0;
const uint MATRICES = 1;
#include "few_tokens.glsl"
const uint ACTIVATION = 0;
#include "activation.glsl"

layout(push_constant) uniform Arguments { LinearArguments a; };

void main() {
  const uint first = gl_WorkGroupID.x * OUTPUTS;
  const uint padded_rows = (a.rows + kRowPadding - 1) / kRowPadding * kRowPadding;
  WeightMatrix m[MATRICES] = WeightMatrix[MATRICES](WeightMatrix(a.weight, a.blocks, padded_rows));
  float sums[MATRICES][ROWS][TOKENS];
  // Clusters beyond the end compute the last rows again: they must take part in the barrier.
  multiply_lane(m, min(first + first_output(), padded_rows - ROWS), FewInput(a.x, a.x_pairs, a.blocks), sums);
  reduce_sums(sums);

  for (uint i = thread_index(); i < TOKENS * OUTPUTS; i += THREADS) {
    const uint row = first + i % OUTPUTS;
    if (row >= a.rows) continue;
    float value = whole_sum(0, i / OUTPUTS, i % OUTPUTS) * a.scale;
    if ((FLAGS & kFlagBias) != 0) value += a.bias.v[a.first_row + row];
    if ((FLAGS & kFlagSoftcap) != 0) value = soft_cap(value, a.softcap);
    a.result.v[i / OUTPUTS * a.out_width + a.first_row + row] = value;
  }
}
