#version 460
#extension GL_GOOGLE_include_directive : require
// Linear and Logits for 1 to 16 tokens.
#include "common.glsl"
layout(constant_id = 7) const uint FLAGS = 0;
#include "few_tokens.glsl"
const uint ACTIVATION = 0;
#include "activation.glsl"

layout(push_constant) uniform Arguments { LinearArguments a; };

void main() {
  const uint row = (gl_WorkGroupID.x * TEAMS + gl_SubgroupID / SPLIT) * ROWS;
  const uint padded_rows = (a.rows + kRowPadding - 1) / kRowPadding * kRowPadding;
  WeightMatrix m = WeightMatrix(a.weight, a.blocks, padded_rows);
  // Teams beyond the end compute the last rows again: they must take part in the barrier.
  const uint safe_row = min(row, padded_rows - ROWS);
  float sums[ROWS][TOKENS];
  multiply_lane(m, safe_row, FewInput(a.x, a.x_pairs, a.blocks), sums);
  reduce_sums(sums);

  if (gl_SubgroupID % SPLIT != 0) return;
  [[unroll]] for (uint r = 0; r < ROWS; ++r) {
    [[unroll]] for (uint t = 0; t < TOKENS; ++t) {
      // One lane for each value, so that neighbouring rows are stored together.
      if (gl_SubgroupInvocationID != (t * ROWS + r) % SUBGROUP || row + r >= a.rows) continue;
      float value = sums[r][t] * a.scale;
      const uint out_row = a.first_row + row + r;
      if ((FLAGS & kFlagBias) != 0) value += a.bias.v[out_row];
      if ((FLAGS & kFlagSoftcap) != 0) value = soft_cap(value, a.softcap);
      a.result.v[t * a.out_width + out_row] = value;
    }
  }
}
