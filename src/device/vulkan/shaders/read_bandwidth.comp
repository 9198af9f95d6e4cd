#version 460
#extension GL_GOOGLE_include_directive : require
// Reads a buffer once from end to end, 16 bytes a lane, and adds it up: what is timed as the device's bandwidth. The sums
// show that every word was read. They go to many places, since atomics on one would be the limit.
#include "common.glsl"
layout(push_constant) uniform Arguments { ReadBandwidthArguments a; };

void main() {
  const uint first = gl_WorkGroupID.x * THREADS * kBandwidthLoads + thread_index();
  uvec4 sum = uvec4(0);
  [[unroll]] for (uint i = 0; i < kBandwidthLoads; ++i) sum += a.source.v[first + i * THREADS];
  const uint all = subgroupAdd(sum.x + sum.y + sum.z + sum.w);
  if (gl_SubgroupInvocationID == 0) {
    atomicAdd(a.sums.v[gl_WorkGroupID.x % kBandwidthSums], all, gl_ScopeQueueFamily, gl_StorageSemanticsBuffer,
              gl_SemanticsRelaxed);
  }
}
