#version 460
#extension GL_GOOGLE_include_directive : require
// Float32 rows as sums of two halves, for matmuls on cooperative matrices of f16: 22 bits of each value count. One
// workgroup for each row.
#include "common.glsl"
layout(constant_id = 2) const bool LOGIT_ROWS = false;
#include "halves.glsl"
#include "largest.glsl"

layout(push_constant) uniform Arguments { SplitFloatsArguments a; };

float largest_of_row(uint row, uint quads) {
  float largest = 0;
  for (uint quad = thread_index(); quad < quads; quad += THREADS) {
    const vec4 size = abs(a.source.v[row * quads + quad]);
    largest = max(largest, max(max(size.x, size.y), max(size.z, size.w)));
  }
  return largest_of_workgroup(largest);
}

/// The upper half of a value, rounded to 11 bits by hand: compilers take a rounding to f16 and back for nothing.
vec4 upper_part(vec4 value) { return uintBitsToFloat((floatBitsToUint(value) + 0x1000u) & 0xffffe000u); }

uvec2 pack_quad(vec4 value) { return uvec2(packHalf2x16(value.xy), packHalf2x16(value.zw)); }

void main() {
  const uint row = gl_WorkGroupID.x;
  if (row >= (LOGIT_ROWS ? a.step.header.logit_rows : a.step.header.tokens)) return;
  const uint quads = a.width / 4, octets = a.width / 8, blocks = a.width / 32;
  const float power = power_for(largest_of_row(row, quads));
  if (thread_index() == 0) a.scales.v[row] = inverse_of_power(power);
  for (uint octet = thread_index(); octet < octets; octet += THREADS) {
    const vec4 first = a.source.v[row * quads + 2 * octet] * power;
    const vec4 second = a.source.v[row * quads + 2 * octet + 1] * power;
    const vec4 upper_first = upper_part(first), upper_second = upper_part(second);
    // In the order of weights: unit u of all blocks lies together.
    const uint to = 2 * row * octets + octet % 4 * blocks + octet / 4;
    a.halves.v[to] = uvec4(pack_quad(upper_first), pack_quad(upper_second));
    a.halves.v[to + octets] = uvec4(pack_quad(first - upper_first), pack_quad(second - upper_second));
  }
}
