#version 460
#extension GL_GOOGLE_include_directive : require
// ExpertLinear: a subgroup for each output of a route.
#include "common.glsl"
#include "expert_layout.h"
layout(constant_id = 2) const uint ENCODING = 1;
layout(constant_id = 3) const bool HAS_BIAS = false;
layout(constant_id = 4) const bool LOGIT_ROWS = false;
layout(constant_id = 5) const bool SAME_INPUT = false;
const bool FIXED_ORDER = false;
#include "weights.glsl"
#include "expert_row.glsl"

layout(push_constant) uniform Arguments { ExpertLinearArguments a; };

void main() {
  const uint row = gl_WorkGroupID.x / a.chosen, route = gl_WorkGroupID.x % a.chosen;
  if (row >= (LOGIT_ROWS ? a.step.header.logit_rows : a.step.header.tokens)) return;
  const uint output_index = gl_WorkGroupID.y * (THREADS / SUBGROUP) + gl_SubgroupID;
  if (output_index >= a.width) return;
  const uint weight_row = expert_of(a.routes, row, route, a.chosen) * a.width + output_index;
  const uint from = (SAME_INPUT ? row : gl_WorkGroupID.x) * a.blocks * kBlockValues;
  float product = row_product(WeightMatrix(a.weight, a.blocks, a.padded_rows), weight_row, a.x, from);
  if (HAS_BIAS) product += a.bias.v[weight_row];
  if (gl_SubgroupInvocationID == 0) a.result.v[gl_WorkGroupID.x * a.width + output_index] = product;
}
