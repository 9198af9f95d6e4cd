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
layout(constant_id = 9) const bool LAYER_NORM = false;
layout(constant_id = 10) const bool HAS_NORM_BIAS = false;
layout(constant_id = 11) const bool IN_PARTS = false;  ///< several rows of these are one of the tensors
layout(constant_id = 12) const bool SCALES_RESIDUAL = false;
layout(constant_id = 13) const uint FRAGMENT_N = 0;  ///< and what follows: fragment_order.glsl
layout(constant_id = 14) const uint FRAGMENT_K = 16;
layout(constant_id = 15) const uint FRAGMENT_CLASSES = 4;
layout(constant_id = 16) const uint FRAGMENT_LANES = 32;
layout(constant_id = 17) const uint OF_TOKEN = 0;
layout(constant_id = 18) const uint OF_CLASS = 0;
layout(constant_id = 19) const uint OF_POSITION = 0;
#include "fragment_order.glsl"
#include "halves.glsl"
#include "quantize.glsl"

layout(push_constant) uniform Arguments { AddNormArguments a; };

shared float sums[4][THREADS / SUBGROUP];

/// Over the whole workgroup; `slot` differs between two calls, so that one barrier is enough.
float sum_of_all(float sum, uint slot) {
  sum = subgroupAdd(sum);
  if (gl_SubgroupInvocationID == 0) sums[slot][gl_SubgroupID] = sum;
  barrier();
  sum = 0;
  for (uint i = gl_SubgroupInvocationID; i < THREADS / SUBGROUP; i += SUBGROUP) sum += sums[slot][i];
  return subgroupAdd(sum);
}

/// What values are multiplied by, besides the weight; layer norms take their mean from them first. Slots `slot` and
/// `slot` + 1 are used.
float norm_factor(inout vec4 values[QUADS], uint slot) {
  if (LAYER_NORM) {
    float sum = 0;
    [[unroll]] for (uint i = 0; i < QUADS; ++i) sum += dot(values[i], vec4(1));
    const float mean = sum_of_all(sum, slot) / float(a.width);
    [[unroll]] for (uint i = 0; i < QUADS; ++i) {
      if (i * THREADS + thread_index() < a.width / 4) values[i] -= mean;
    }
  }
  float squares = 0;
  [[unroll]] for (uint i = 0; i < QUADS; ++i) squares += dot(values[i], values[i]);
  return inversesqrt(sum_of_all(squares, slot + 1) / float(a.width) + a.epsilon);
}

void main() {
  const uint row = gl_WorkGroupID.x;
  const uint quads = a.width / 4;
  // All loads go out before anything waits for one of them: a single row's time is latency. Nor does anything wait for the
  // number of rows: those that do not exist are computed, and not stored.
  vec4 residual[QUADS], branch[QUADS], post_norm[QUADS], norm[QUADS], norm_bias[QUADS];
  [[unroll]] for (uint i = 0; i < QUADS; ++i) {
    const uint quad = i * THREADS + thread_index();
    const uint safe = min(quad, quads - 1);
    const vec4 old = a.residual.v[row * quads + safe];
    residual[i] = quad < quads ? old : vec4(0);
    if (HAS_BRANCH) {
      const vec4 added = a.branch.v[row * quads + safe];
      branch[i] = quad < quads ? added : vec4(0);
    }
    if (HAS_POST_NORM) post_norm[i] = a.post_norm.v[safe];
    if (HAS_NORM) norm[i] = a.norm.v[safe];
    if (HAS_NORM_BIAS) norm_bias[i] = a.norm_bias.v[safe];
  }
  const bool exists = row < (LOGIT_ROWS ? a.step.header.logit_rows : a.step.header.tokens) * (IN_PARTS ? a.parts : 1);

  if (HAS_BRANCH) {
    float factor = 1;
    if (HAS_POST_NORM) factor = norm_factor(branch, 0);
    [[unroll]] for (uint i = 0; i < QUADS; ++i) {
      const uint quad = i * THREADS + thread_index();
      vec4 value = branch[i];
      if (HAS_POST_NORM) value *= factor * post_norm[i];
      residual[i] += a.branch_scale * value;
      if (SCALES_RESIDUAL) residual[i] *= a.residual_scale;
      if (exists && quad < quads) a.residual.v[row * quads + quad] = residual[i];
    }
  }
  if (!HAS_NORM) return;

  if (FRAGMENT_N > 0 && exists && thread_index() == 0) {
    a.scales.v[row] = inverse_of_power(a.power);
    a.largest.v[row * kLargestStride] = 0;
  }
  const float factor = norm_factor(residual, 2);
  [[unroll]] for (uint i = 0; i < QUADS; ++i) {
    const uint quad = i * THREADS + thread_index();
    vec4 value = residual[i] * factor * norm[i];
    if (HAS_NORM_BIAS) value += norm_bias[i];
    if (FLOAT_RESULT && exists && quad < quads) a.result.v[row * quads + quad] = value;
    if (QUANTIZED_RESULT) {
      vec2 pair;
      const uint bytes = quantize_quad(value, pair);
      if (exists && quad < quads) {
        a.result_quants.v[row * quads + quad] = bytes;
        if (quad % 8 == 0) a.result_pairs.v[(row * quads + quad) / 8] = pair;
        if (FRAGMENT_N > 0) store_bytes_in_order(a.fragments, 0, row, quads / 8, quad, bytes, pair.x * a.power);
      }
    }
  }
}
