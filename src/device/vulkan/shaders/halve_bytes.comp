#version 460
#extension GL_GOOGLE_include_directive : require
// Rows in blocks of signed bytes as f16, for matmuls on cooperative matrices of f16. One workgroup for each row; a power of
// two for each row keeps all within f16's range.
#include "common.glsl"
layout(constant_id = 2) const bool LOGIT_ROWS = false;
#include "halves.glsl"
#include "largest.glsl"

layout(push_constant) uniform Arguments { HalveBytesArguments a; };

/// An upper bound of the row's values.
float largest_of_row(uint row, uint blocks) {
  float largest = 0;
  for (uint block = thread_index(); block < blocks; block += THREADS) largest = max(largest, a.pairs.v[row * blocks + block].x);
  return largest_of_workgroup(largest) * 127;
}

/// The second and third of four values change places: so weights are decoded two at a time, masked out of a word.
uvec2 halves_of(uint bytes, float scale) {
  const ivec4 shifted = ivec4(bytes << 24, bytes << 16, bytes << 8, bytes);
  const vec4 values = vec4(shifted >> 24) * scale;
  return uvec2(packHalf2x16(values.xz), packHalf2x16(values.yw));
}

void main() {
  const uint row = gl_WorkGroupID.x;
  if (row >= (LOGIT_ROWS ? a.step.header.logit_rows : a.step.header.tokens)) return;
  const uint blocks = a.width / 32, octets = a.width / 8;
  const float power = power_for(largest_of_row(row, blocks));
  if (thread_index() == 0) a.scales.v[row] = inverse_of_power(power);
  for (uint octet = thread_index(); octet < octets; octet += THREADS) {
    const float scale = a.pairs.v[row * blocks + octet / 4].x * power;
    const uvec2 bytes = a.quants.v[row * octets + octet];
    a.halves.v[row * octets + octet] = uvec4(halves_of(bytes.x, scale), halves_of(bytes.y, scale));
  }
}
