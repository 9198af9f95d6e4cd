#version 460
#extension GL_GOOGLE_include_directive : require
// GatedNorm: a workgroup for each group of a row.
#include "common.glsl"
#include "recurrence_layout.h"
layout(constant_id = 2) const bool GATE_FIRST = false;
layout(constant_id = 3) const bool WEIGHT_FOR_EACH_GROUP = false;
layout(constant_id = 4) const bool LOGIT_ROWS = false;

layout(push_constant) uniform Arguments { GatedNormArguments a; };

shared float sums[THREADS / SUBGROUP];

float silu(float x) { return x / (1 + exp(-x)); }

void main() {
  const uint row = gl_WorkGroupID.x;
  if (row >= (LOGIT_ROWS ? a.step.header.logit_rows : a.step.header.tokens)) return;
  const uint first = gl_WorkGroupID.y * a.group;
  const uint at = row * a.width + first;
  const uint gates_at = row * a.gates_width + a.first + first;
  float squares = 0;
  for (uint i = thread_index(); i < a.group; i += THREADS) {
    const float x = GATE_FIRST ? a.source.v[at + i] * silu(a.gates.v[gates_at + i]) : a.source.v[at + i];
    squares += x * x;
  }
  squares = subgroupAdd(squares);
  if (gl_SubgroupInvocationID == 0) sums[gl_SubgroupID] = squares;
  barrier();
  squares = 0;
  for (uint i = 0; i < THREADS / SUBGROUP; ++i) squares += sums[i];
  const float factor = inversesqrt(squares / float(a.group) + a.epsilon);
  for (uint i = thread_index(); i < a.group; i += THREADS) {
    const float weight = a.weight.v[WEIGHT_FOR_EACH_GROUP ? first + i : i];
    a.result.v[at + i] = a.source.v[at + i] * silu(a.gates.v[gates_at + i]) * factor * weight;
  }
}
