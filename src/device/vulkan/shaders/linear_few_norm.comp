#version 460
#extension GL_GOOGLE_include_directive : require
// Linear and the AddNorm behind it for very few tokens: the workgroup that ends last norms the rows, which saves a launch
// and the barrier before it.
#include "common.glsl"
layout(constant_id = 8) const uint FLAGS = 0;
layout(constant_id = 9) const uint QUADS = 1;
const bool HAS_BRANCH = true;
layout(constant_id = 10) const bool HAS_POST_NORM = false;
layout(constant_id = 11) const bool HAS_NORM = true;
layout(constant_id = 12) const bool FLOAT_RESULT = true;
layout(constant_id = 13) const bool QUANTIZED_RESULT = true;
layout(constant_id = 14) const bool LOGIT_ROWS = false;

// Other workgroups read what this one writes.
#define STORE_RESULT(reference, index, value) Partials(reference).v[index] = value
#include "linear_few.glsl"
#include "quantize.glsl"
vec4 load_branch(AddNormArguments n, uint at) { return SharedVec4s(n.branch).v[at]; }
#include "norm_row.glsl"

layout(push_constant) uniform Arguments { LinearNormArguments a; };

shared bool ends_last;

void main() {
  multiply_rows(a.linear);
  controlBarrier(gl_ScopeWorkgroup, gl_ScopeQueueFamily, gl_StorageSemanticsBuffer, gl_SemanticsAcquireRelease);
  if (thread_index() == 0) {
    const uint ended = atomicAdd(a.counter.v[0], 1, gl_ScopeQueueFamily, gl_StorageSemanticsBuffer,
                                 gl_SemanticsAcquireRelease);
    ends_last = ended + 1 == gl_NumWorkGroups.x;
    if (ends_last) a.counter.v[0] = 0;
  }
  controlBarrier(gl_ScopeWorkgroup, gl_ScopeQueueFamily, gl_StorageSemanticsBuffer | gl_StorageSemanticsShared,
                 gl_SemanticsAcquireRelease);
  if (!ends_last) return;
  const uint rows = LOGIT_ROWS ? a.norm.step.header.logit_rows : a.norm.step.header.tokens;
  for (uint row = 0; row < rows; ++row) {
    norm_row(a.norm, row, true);
    barrier();  // before the next row's sums take the place of this one's
  }
}
