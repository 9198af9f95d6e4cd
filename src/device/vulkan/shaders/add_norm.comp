#version 460
#extension GL_GOOGLE_include_directive : require
// AddNorm: one workgroup for each row, whose values stay in registers between the two norms.
#include "common.glsl"
layout(constant_id = 2) const uint QUADS = 1;  ///< groups of four values that a thread holds
layout(constant_id = 3) const bool HAS_BRANCH = true;
layout(constant_id = 4) const bool HAS_POST_NORM = false;
layout(constant_id = 5) const bool HAS_NORM = true;
layout(constant_id = 6) const bool FLOAT_RESULT = true;
layout(constant_id = 7) const bool QUANTIZED_RESULT = true;
layout(constant_id = 8) const bool LOGIT_ROWS = false;
#include "quantize.glsl"

layout(push_constant) uniform Arguments { AddNormArguments a; };

const uint SUBGROUPS = THREADS / SUBGROUP;
shared float sums[SUBGROUPS];

float sum_of_squares(vec4 values[QUADS]) {
  float sum = 0;
  [[unroll]] for (uint i = 0; i < QUADS; ++i) sum += dot(values[i], values[i]);
  sum = subgroupAdd(sum);
  if (gl_SubgroupInvocationID == 0) sums[gl_SubgroupID] = sum;
  barrier();
  sum = 0;
  for (uint i = 0; i < SUBGROUPS; ++i) sum += sums[i];
  barrier();
  return sum;
}

void main() {
  const uint row = gl_WorkGroupID.x;
  if (row >= (LOGIT_ROWS ? a.step.header.logit_rows : a.step.header.tokens)) return;
  const uint quads = a.width / 4;
  vec4 residual[QUADS];
  [[unroll]] for (uint i = 0; i < QUADS; ++i) {
    const uint quad = i * THREADS + thread_index();
    residual[i] = quad < quads ? a.residual.v[row * quads + quad] : vec4(0);
  }
  if (HAS_BRANCH) {
    vec4 branch[QUADS];
    [[unroll]] for (uint i = 0; i < QUADS; ++i) {
      const uint quad = i * THREADS + thread_index();
      branch[i] = quad < quads ? a.branch.v[row * quads + quad] : vec4(0);
    }
    float factor = 1;
    if (HAS_POST_NORM) factor = inversesqrt(sum_of_squares(branch) / float(a.width) + a.epsilon);
    [[unroll]] for (uint i = 0; i < QUADS; ++i) {
      const uint quad = i * THREADS + thread_index();
      if (quad >= quads) continue;
      vec4 value = branch[i];
      if (HAS_POST_NORM) value *= factor * a.post_norm.v[quad];
      residual[i] += a.branch_scale * value;
      a.residual.v[row * quads + quad] = residual[i];
    }
  }
  if (!HAS_NORM) return;

  const float factor = inversesqrt(sum_of_squares(residual) / float(a.width) + a.epsilon);
  [[unroll]] for (uint i = 0; i < QUADS; ++i) {
    const uint quad = i * THREADS + thread_index();
    vec4 value = vec4(0);
    if (quad < quads) value = residual[i] * factor * a.norm.v[quad];
    if (FLOAT_RESULT && quad < quads) a.result.v[row * quads + quad] = value;
    if (QUANTIZED_RESULT) {
      vec2 pair;
      const uint bytes = quantize_quad(value, pair);
      if (quad < quads) {
        a.result_quants.v[row * quads + quad] = bytes;
        if (quad % 8 == 0) a.result_pairs.v[(row * quads + quad) / 8] = pair;
      }
    }
  }
}
