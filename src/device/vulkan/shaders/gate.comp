#version 460
#extension GL_GOOGLE_include_directive : require
// Gate: value by value.
#include "common.glsl"
#include "recurrence_layout.h"
layout(constant_id = 2) const bool ONE_FOR_ALL = false;  ///< values of a row
layout(constant_id = 3) const bool LOGIT_ROWS = false;
layout(constant_id = 4) const uint ACTIVATION = 0;
const bool FIXED_ORDER = false;
#include "fixed_order.glsl"
#include "activation.glsl"

layout(push_constant) uniform Arguments { GateArguments a; };

void main() {
  const uint row = gl_WorkGroupID.x;
  const uint i = gl_WorkGroupID.y * THREADS + thread_index();
  if (row >= (LOGIT_ROWS ? a.step.header.logit_rows : a.step.header.tokens) || i >= a.width) return;
  const float gate = a.gates.v[ONE_FOR_ALL ? row : row * a.width + i];
  a.result.v[row * a.width + i] = a.source.v[row * a.source_width + a.first + i] * activate(gate);
}
