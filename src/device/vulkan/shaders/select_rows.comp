#version 460
#extension GL_GOOGLE_include_directive : require
// SelectRows: a row of the result is a row of the source, in float32.
#include "common.glsl"
layout(push_constant) uniform Arguments { SelectRowsArguments a; };

void main() {
  const uint row = gl_WorkGroupID.x;
  const uint i = gl_WorkGroupID.y * THREADS + thread_index();
  if (row >= a.step.header.logit_rows || i >= a.width) return;
  a.result.v[row * a.width + i] = a.source.v[a.rows.v[row] * a.width + i];
}
