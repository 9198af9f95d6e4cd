#version 460
#extension GL_GOOGLE_include_directive : require
// Activations from float32 to bytes, where what made them could not do it. One workgroup for each row and stretch of it.
#include "common.glsl"
layout(constant_id = 2) const bool LOGIT_ROWS = false;
#include "quantize.glsl"

layout(push_constant) uniform Arguments { QuantizeArguments a; };

void main() {
  const uint row = gl_WorkGroupID.x;
  if (row >= (LOGIT_ROWS ? a.step.header.logit_rows : a.step.header.tokens)) return;
  const uint quads = a.width / 4;
  const uint quad = gl_WorkGroupID.y * THREADS + thread_index();
  const uint at = row * quads + min(quad, quads - 1);
  vec2 pair;
  const uint bytes = quantize_quad(a.source.v[at], pair);
  if (quad >= quads) return;
  a.quants.v[at] = bytes;
  if (quad % 8 == 0) a.pairs.v[at / 8] = pair;
}
