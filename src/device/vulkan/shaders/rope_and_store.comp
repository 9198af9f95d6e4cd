#version 460
#extension GL_GOOGLE_include_directive : require
// RopeAndStore: one subgroup for each head of a token; K and V go to the paged cache in f16, Q on in float32.
#include "common.glsl"
layout(constant_id = 2) const uint HEAD_DIM = 128;
layout(constant_id = 3) const bool Q_NORM = false;
layout(constant_id = 4) const bool K_NORM = false;
layout(constant_id = 5) const bool INTERLEAVED = false;
layout(constant_id = 6) const bool ALL_HEADS = false;  ///< a norm goes over all heads together
layout(constant_id = 7) const bool NORM_LAST = false;  ///< behind the rope, which changes no head's length
layout(constant_id = 8) const bool GROWTH = false;     ///< of the queries
layout(constant_id = 9) const bool V_NORM = false;     ///< by head, without a weight
layout(constant_id = 10) const bool VALUES_ARE_KEYS = false;
layout(constant_id = 11) const bool LAYER_NORMS = false;  ///< each head less its mean, with a weight of its own
#include "rope.glsl"

layout(push_constant) uniform Arguments { RopeAndStoreArguments a; };

const uint SUBGROUPS = THREADS / SUBGROUP;
shared float head_values[SUBGROUPS * HEAD_DIM];

void main() {
  const uint token = gl_WorkGroupID.x;
  if (token >= a.step.header.tokens) return;
  // Subgroups beyond the last head do it once more: lavapipe's subgroup barriers want them to stay.
  const uint index = min(gl_WorkGroupID.y * SUBGROUPS + gl_SubgroupID, a.heads + 2 * a.kv_heads - 1);
  const bool is_query = index < a.heads;
  const bool is_value = index >= a.heads + a.kv_heads;
  const uint row = token * (a.heads + (VALUES_ARE_KEYS ? 1 : 2) * a.kv_heads) * HEAD_DIM;
  const uint from = row + (VALUES_ARE_KEYS && is_value ? index - a.kv_heads : index) * HEAD_DIM;
  const bool own_weight = ALL_HEADS || LAYER_NORMS;
  const uint head = own_weight ? (is_query ? index : index - a.heads) * HEAD_DIM : 0;  // its place in the weight
  float factor = 1, mean = 0;
  if (V_NORM && is_value) {
    factor = norm_factor(a.qkv, from, a.epsilon);
  } else if (ALL_HEADS && (Q_NORM || K_NORM)) {
    const uint width = (is_query ? a.heads : a.kv_heads) * HEAD_DIM;
    factor = norm_factor_of(a.qkv, is_query ? row : row + a.heads * HEAD_DIM, width, a.epsilon);
  } else if (LAYER_NORMS && (Q_NORM || K_NORM)) {
    mean = mean_of(a.qkv, from);
    factor = centred_norm_factor(a.qkv, from, mean, a.epsilon);
    if (is_value) mean = 0;
  } else if (Q_NORM || K_NORM) {
    factor = norm_factor(a.qkv, from, a.epsilon);
  }
  const uint position = a.positions.v[token];
  const uint base = gl_SubgroupID * HEAD_DIM;
  for (uint i = gl_SubgroupInvocationID; i < HEAD_PAIRS; i += SUBGROUP) {
    const uvec2 at = pair_places(i, a.pairs);
    vec2 pair = vec2(a.qkv.v[from + at.x], a.qkv.v[from + at.y]) - mean;
    vec2 weight = vec2(1);
    if (Q_NORM && is_query) weight = factor * vec2(a.q_norm.v[head + at.x], a.q_norm.v[head + at.y]);
    if (K_NORM && !is_query && !is_value) weight = factor * vec2(a.k_norm.v[head + at.x], a.k_norm.v[head + at.y]);
    if (V_NORM && is_value) weight = vec2(factor);
    if (!NORM_LAST) pair *= weight;
    if (!is_value && i < a.pairs) pair = turn(pair, a.rope, position, a.pairs, i);
    if (NORM_LAST) pair *= weight;
    if (GROWTH && is_query) pair *= 1 + a.query_growth * log(1 + float((position + a.query_growth_shift) / a.query_growth_positions));
    head_values[base + at.x] = pair.x;
    head_values[base + at.y] = pair.y;
  }
  subgroupBarrier();
  if (is_query) {
    for (uint i = gl_SubgroupInvocationID; i < HEAD_DIM; i += SUBGROUP) {
      a.query.v[(token * a.heads + index) * HEAD_DIM + i] = head_values[base + i];
    }
    return;
  }
  const uint slot = a.slots.v[token];
  const uint kv_head = (index - a.heads) % a.kv_heads;
  const uint cache_row = ((slot / kCacheBlockTokens * a.kv_heads + kv_head) * 2 + (is_value ? 1 : 0)) * kCacheBlockTokens +
                   slot % kCacheBlockTokens;
  for (uint i = gl_SubgroupInvocationID; i < HEAD_DIM / 2; i += SUBGROUP) {
    a.cache.v[cache_row * (HEAD_DIM / 2) + i] = packHalf2x16(vec2(head_values[base + 2 * i], head_values[base + 2 * i + 1]));
  }
}
