#version 460
#extension GL_GOOGLE_include_directive : require
// RopeAndStore: one subgroup for each head of a token; K and V go to the paged cache in f16, Q on in float32.
#include "common.glsl"
layout(constant_id = 2) const uint HEAD_DIM = 128;
layout(constant_id = 3) const bool Q_NORM = false;
layout(constant_id = 4) const bool K_NORM = false;
layout(constant_id = 5) const bool INTERLEAVED = false;

layout(push_constant) uniform Arguments { RopeAndStoreArguments a; };

const uint SUBGROUPS = THREADS / SUBGROUP;
shared float head_values[SUBGROUPS * HEAD_DIM];

void norm_head(uint base, FloatsIn weight) {
  float sum = 0;
  for (uint i = gl_SubgroupInvocationID; i < HEAD_DIM; i += SUBGROUP) sum += head_values[base + i] * head_values[base + i];
  const float factor = inversesqrt(subgroupAdd(sum) / float(HEAD_DIM) + a.epsilon);
  for (uint i = gl_SubgroupInvocationID; i < HEAD_DIM; i += SUBGROUP) head_values[base + i] *= factor * weight.v[i];
}

void turn_head(uint base, uint position) {
  for (uint i = gl_SubgroupInvocationID; i < a.pairs; i += SUBGROUP) {
    const vec2 coarse = a.rope_coarse.v[position / kRopeSpan * a.pairs + i];
    const vec2 fine = a.rope_fine.v[position % kRopeSpan * a.pairs + i];
    const float c = coarse.x * fine.x - coarse.y * fine.y;
    const float s = coarse.y * fine.x + coarse.x * fine.y;
    const uint first = base + (INTERLEAVED ? 2 * i : i);
    const uint second = base + (INTERLEAVED ? 2 * i + 1 : i + a.pairs);
    const float x = head_values[first], y = head_values[second];
    head_values[first] = x * c - y * s;
    head_values[second] = x * s + y * c;
  }
}

void main() {
  const uint token = gl_WorkGroupID.x;
  if (token >= a.step.header.tokens) return;
  // Subgroups beyond the last head do it once more: lavapipe's subgroup barriers want them to stay.
  const uint head = min(gl_WorkGroupID.y * SUBGROUPS + gl_SubgroupID, a.heads + 2 * a.kv_heads - 1);
  const uint base = gl_SubgroupID * HEAD_DIM;
  for (uint i = gl_SubgroupInvocationID; i < HEAD_DIM; i += SUBGROUP) {
    head_values[base + i] = a.qkv.v[(token * (a.heads + 2 * a.kv_heads) + head) * HEAD_DIM + i];
  }
  subgroupBarrier();
  const bool is_query = head < a.heads;
  const bool is_value = head >= a.heads + a.kv_heads;
  if (Q_NORM && is_query) norm_head(base, a.q_norm);
  if (K_NORM && !is_query && !is_value) norm_head(base, a.k_norm);
  subgroupBarrier();
  if (a.pairs > 0 && !is_value) turn_head(base, a.positions.v[token]);
  subgroupBarrier();
  if (is_query) {
    for (uint i = gl_SubgroupInvocationID; i < HEAD_DIM; i += SUBGROUP) {
      a.query.v[(token * a.heads + head) * HEAD_DIM + i] = head_values[base + i];
    }
    return;
  }
  const uint slot = a.slots.v[token];
  const uint kv_head = (head - a.heads) % a.kv_heads;
  const uint run = ((slot / kCacheBlockTokens * a.kv_heads + kv_head) * 2 + (is_value ? 1 : 0)) * kCacheBlockTokens +
                   slot % kCacheBlockTokens;
  for (uint i = gl_SubgroupInvocationID; i < HEAD_DIM / 2; i += SUBGROUP) {
    a.cache.v[run * (HEAD_DIM / 2) + i] = packHalf2x16(vec2(head_values[base + 2 * i], head_values[base + 2 * i + 1]));
  }
}
