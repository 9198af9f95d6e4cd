#version 460
#extension GL_GOOGLE_include_directive : require
// AddNorm: one workgroup for each row.
#include "common.glsl"
layout(constant_id = 2) const uint QUADS = 1;
layout(constant_id = 3) const bool HAS_POST_NORM = false;
layout(constant_id = 4) const bool HAS_NORM = true;
layout(constant_id = 5) const bool FLOAT_RESULT = true;
layout(constant_id = 6) const bool QUANTIZED_RESULT = true;
layout(constant_id = 7) const bool LOGIT_ROWS = false;
layout(constant_id = 8) const bool HAS_BRANCH = true;
#include "quantize.glsl"

layout(push_constant) uniform Arguments { AddNormArguments a; };

vec4 load_branch(AddNormArguments n, uint at) { return n.branch.v[at]; }
#include "norm_row.glsl"

void main() {
  const uint row = gl_WorkGroupID.x;
  norm_row(a, row, row < (LOGIT_ROWS ? a.step.header.logit_rows : a.step.header.tokens));
}
