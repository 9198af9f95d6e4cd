#version 460
#extension GL_GOOGLE_include_directive : require
// StoreLatents: the first workgroup of a token norms, turns and stores its row in f16, the others turn the ends of its
// queries.
#include "common.glsl"
#include "latent_layout.h"
layout(constant_id = 2) const uint HEAD_DIM = 64;  ///< of what may turn
layout(constant_id = 3) const bool INTERLEAVED = true;
#include "rope.glsl"

layout(push_constant) uniform Arguments { StoreLatentsArguments a; };

shared float squares[THREADS / SUBGROUP];

/// Value `at` of the HEAD_DIM from `from` on, turned.
float turned_value(FloatsIn values, uint from, uint at, uint position) {
  if (at >= 2 * a.pairs) return values.v[from + at];
  const uint i = INTERLEAVED ? at / 2 : at % a.pairs;
  const uvec2 places = pair_places(i, a.pairs);
  const vec2 pair = turn(vec2(values.v[from + places.x], values.v[from + places.y]), a.rope, position, a.pairs, i);
  return at == places.x ? pair.x : pair.y;
}

void turn_queries(uint token, uint index) {
  if (index >= a.heads * HEAD_DIM) return;
  const uint head = token * a.heads + index / HEAD_DIM, at = index % HEAD_DIM;
  const uint from = head * (a.nope_dim + HEAD_DIM) + a.nope_dim;
  a.result.v[head * (a.latent_dim + HEAD_DIM) + a.latent_dim + at] =
      turned_value(a.query, from, at, a.positions.v[token]);
}

float sum_of_squares(uint from) {
  float sum = 0;
  for (uint i = thread_index(); i < a.latent_dim; i += THREADS) sum += a.latents.v[from + i] * a.latents.v[from + i];
  sum = subgroupAdd(sum);
  if (gl_SubgroupInvocationID == 0) squares[gl_SubgroupID] = sum;
  barrier();
  sum = 0;
  for (uint s = 0; s < THREADS / SUBGROUP; ++s) sum += squares[s];
  return sum;
}

void store_row(uint token) {
  const uint width = a.latent_dim + HEAD_DIM, from = token * width;
  const float factor = inversesqrt(sum_of_squares(from) / float(a.latent_dim) + a.epsilon);
  for (uint word = thread_index(); word < width / 2; word += THREADS) {
    vec2 values;
    [[unroll]] for (uint i = 0; i < 2; ++i) {
      const uint at = 2 * word + i;
      if (at < a.latent_dim) {
        values[i] = a.latents.v[from + at] * factor * a.norm.v[at];
      } else {
        values[i] = turned_value(a.latents, from + a.latent_dim, at - a.latent_dim, a.positions.v[token]);
      }
    }
    a.cache.v[a.slots.v[token] * (width / 2) + word] = packHalf2x16(values);
  }
}

void main() {
  const uint token = gl_WorkGroupID.x;
  if (token >= a.step.header.tokens) return;
  if (gl_WorkGroupID.y == 0) {
    store_row(token);
  } else {
    turn_queries(token, (gl_WorkGroupID.y - 1) * THREADS + thread_index());
  }
}
