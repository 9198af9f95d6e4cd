#version 460
#extension GL_GOOGLE_include_directive : require
// Activations from float32 to bytes, where what made them could not do it, and to halves in the order of lanes, where their largest
// value is known. One workgroup for each row and stretch of it.
#include "common.glsl"
layout(constant_id = 2) const bool LOGIT_ROWS = false;
layout(constant_id = 3) const uint FRAGMENT_N = 0;  ///< and what follows: fragment_order.glsl
layout(constant_id = 4) const uint FRAGMENT_K = 16;
layout(constant_id = 5) const uint FRAGMENT_CLASSES = 4;
layout(constant_id = 6) const uint FRAGMENT_LANES = 32;
layout(constant_id = 7) const uint OF_TOKEN = 0;
layout(constant_id = 8) const uint OF_CLASS = 0;
layout(constant_id = 9) const uint OF_POSITION = 0;
#include "fragment_order.glsl"
#include "halves.glsl"
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
  if (FRAGMENT_N == 0) return;
  const float power = power_for(uintBitsToFloat(a.largest.v[row * kLargestStride]));
  store_bytes_in_order(a.fragments, 0, row, quads / 8, quad, bytes, pair.x * power);
  if (quad == 0) a.scales.v[row] = inverse_of_power(power);
}
