#version 460
#extension GL_GOOGLE_include_directive : require
// Reads memory into the device's cache and forgets it: weights that the next matmul needs, while an operation runs that
// leaves the bus idle. A thread reads SECTORS words of neighbouring cache sectors' first word.
#include "common.glsl"
layout(constant_id = 2) const uint SECTORS = 8;

layout(push_constant) uniform Arguments { PrefetchArguments a; };

const uint WORDS = kCacheSectorBytes / 4;

void main() {
  const uint first = gl_WorkGroupID.x * THREADS * SECTORS + thread_index();
  uint seen = 0;
  [[unroll]] for (uint i = 0; i < SECTORS; ++i) {
    const uint sector = min(first + i * THREADS, a.sectors - 1);
    seen ^= a.source.v[sector * WORDS];
  }
  // Never so, which the compiler cannot know.
  if (a.sectors == 0) a.sink.v[0] = seen;
}
