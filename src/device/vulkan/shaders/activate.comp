#version 460
#extension GL_GOOGLE_include_directive : require
// Activate: value by value, in float32.
#include "common.glsl"
layout(constant_id = 2) const uint ACTIVATION = 0;
layout(constant_id = 3) const bool LOGIT_ROWS = false;
const bool FIXED_ORDER = false;
#include "fixed_order.glsl"
#include "activation.glsl"

layout(push_constant) uniform Arguments { ActivateArguments a; };

float xielu(float x) {
  if (x > 0) return x * (a.xielu_positive * x + a.xielu_linear);
  return a.xielu_negative * (exp(min(x, a.xielu_bound)) - 1 - x) + a.xielu_linear * x;
}

void main() {
  const uint row = gl_WorkGroupID.x;
  const uint i = gl_WorkGroupID.y * THREADS + thread_index();
  if (row >= (LOGIT_ROWS ? a.step.header.logit_rows : a.step.header.tokens) || i >= a.width) return;
  const float x = a.source.v[row * a.width + i];
  a.result.v[row * a.width + i] = FUNCTION == kActivationXielu ? xielu(x) : activate(x);
}
