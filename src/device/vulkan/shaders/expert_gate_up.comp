#version 460
#extension GL_GOOGLE_include_directive : require
// ExpertGateUp: a subgroup for each output of a route.
#include "common.glsl"
#include "expert_layout.h"
layout(constant_id = 2) const uint ENCODING = 1;
layout(constant_id = 3) const uint ACTIVATION = 0;
layout(constant_id = 4) const bool WEIGHS_INPUT = false;
layout(constant_id = 5) const bool LOGIT_ROWS = false;
const bool FIXED_ORDER = false;
#include "weights.glsl"
#include "activation.glsl"
#include "expert_row.glsl"

layout(push_constant) uniform Arguments { ExpertGateUpArguments a; };

void main() {
  const uint row = gl_WorkGroupID.x / a.chosen, route = gl_WorkGroupID.x % a.chosen;
  if (row >= (LOGIT_ROWS ? a.step.header.logit_rows : a.step.header.tokens)) return;
  const uint output_index = gl_WorkGroupID.y * (THREADS / SUBGROUP) + gl_SubgroupID;
  if (output_index >= a.width) return;
  const uint weight_row = expert_of(a.routes, row, route, a.chosen) * a.width + output_index;
  const uint from = row * a.blocks * kBlockValues;
  float gate = row_product(WeightMatrix(a.gate, a.blocks, a.padded_rows), weight_row, a.x, from);
  float up = row_product(WeightMatrix(a.up, a.blocks, a.padded_rows), weight_row, a.x, from);
  if (WEIGHS_INPUT) {
    const float weight = a.routes.v[row * 2 * a.chosen + a.chosen + route];
    gate *= weight;
    up *= weight;
  }
  if (HAS_BIAS) {
    gate += a.gate_bias.v[weight_row];
    up += a.up_bias.v[weight_row];
  }
  if (a.limit > 0) {
    gate = min(gate, a.limit);
    up = clamp(up, -a.limit, a.limit);
  }
  if (gl_SubgroupInvocationID == 0) {
    a.result.v[(row * a.chosen + route) * a.width + output_index] = activate(gate) * (up + a.up_offset);
  }
}
