#version 460
#extension GL_GOOGLE_include_directive : require
// Rows as a matmul reads them: widened to whole blocks by zeros.
#include "common.glsl"
layout(constant_id = 2) const bool LOGIT_ROWS = false;

layout(push_constant) uniform Arguments { PadRowsArguments a; };

void main() {
  const uint row = gl_WorkGroupID.x, i = gl_WorkGroupID.y * THREADS + thread_index();
  if (row >= (LOGIT_ROWS ? a.step.header.logit_rows : a.step.header.tokens) || i >= a.padded_width) return;
  a.result.v[row * a.padded_width + i] = i < a.width ? a.source.v[row * a.width + i] : 0;
}
