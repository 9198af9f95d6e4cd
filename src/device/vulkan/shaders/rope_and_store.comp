#version 460
#extension GL_GOOGLE_include_directive : require
// RopeAndStore: one subgroup for each head of a token; K and V go to the paged cache in f16, Q on in float32.
#include "common.glsl"
layout(constant_id = 2) const uint HEAD_DIM = 128;
layout(constant_id = 3) const bool Q_NORM = false;
layout(constant_id = 4) const bool K_NORM = false;
layout(constant_id = 5) const bool INTERLEAVED = false;
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
  const uint from = (token * (a.heads + 2 * a.kv_heads) + index) * HEAD_DIM;
  const float factor = Q_NORM || K_NORM ? norm_factor(a.qkv, from, a.epsilon) : 1;
  const uint position = a.positions.v[token];
  const uint base = gl_SubgroupID * HEAD_DIM;
  for (uint i = gl_SubgroupInvocationID; i < HEAD_PAIRS; i += SUBGROUP) {
    const uvec2 at = pair_places(i, a.pairs);
    vec2 pair = vec2(a.qkv.v[from + at.x], a.qkv.v[from + at.y]);
    if (Q_NORM && is_query) pair *= factor * vec2(a.q_norm.v[at.x], a.q_norm.v[at.y]);
    if (K_NORM && !is_query && !is_value) pair *= factor * vec2(a.k_norm.v[at.x], a.k_norm.v[at.y]);
    if (!is_value && i < a.pairs) pair = turn(pair, a.rope, position, a.pairs, i);
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
  const uint row = ((slot / kCacheBlockTokens * a.kv_heads + kv_head) * 2 + (is_value ? 1 : 0)) * kCacheBlockTokens +
                   slot % kCacheBlockTokens;
  for (uint i = gl_SubgroupInvocationID; i < HEAD_DIM / 2; i += SUBGROUP) {
    a.cache.v[row * (HEAD_DIM / 2) + i] = packHalf2x16(vec2(head_values[base + 2 * i], head_values[base + 2 * i + 1]));
  }
}
