#version 460
#extension GL_GOOGLE_include_directive : require
// CombineExperts: value by value, routes in their order.
#include "common.glsl"
#include "expert_layout.h"
layout(constant_id = 2) const uint CHOSEN = 1;
layout(constant_id = 3) const bool HAS_SHARED = false;
layout(constant_id = 4) const bool WEIGHTED = true;
layout(constant_id = 5) const bool LOGIT_ROWS = false;

layout(push_constant) uniform Arguments { CombineExpertsArguments a; };

void main() {
  const uint row = gl_WorkGroupID.x;
  const uint i = gl_WorkGroupID.y * THREADS + thread_index();
  if (row >= (LOGIT_ROWS ? a.step.header.logit_rows : a.step.header.tokens) || i >= a.width) return;
  float sum = HAS_SHARED ? a.shared_rows.v[row * a.width + i] : 0;
  [[unroll]] for (uint r = 0; r < CHOSEN; ++r) {
    const float weight = WEIGHTED ? a.routes.v[row * 2 * CHOSEN + CHOSEN + r] : 1;
    sum += weight * a.source.v[(row * CHOSEN + r) * a.width + i];
  }
  a.result.v[row * a.width + i] = sum;
}
