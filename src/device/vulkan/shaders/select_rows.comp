#version 460
#extension GL_GOOGLE_include_directive : require
// SelectRows: a row of the result is a row of the source, in float32.
#include "common.glsl"
layout(push_constant) uniform Arguments { SelectRowsArguments a; };

void main() {
  const uint row = gl_WorkGroupID.x;
  if (row >= a.step.header.logit_rows) return;
  const uint source = a.rows.v[row];
  for (uint i = thread_index(); i < a.width; i += THREADS) {
    a.result.v[row * a.width + i] = a.source.v[source * a.width + i];
  }
}
