// The largest of what a workgroup's threads have found. Needs common.glsl.

shared float largest_of_subgroup[THREADS / SUBGROUP];

/// For every thread. Call it once.
float largest_of_workgroup(float largest) {
  largest = subgroupMax(largest);
  if (gl_SubgroupInvocationID == 0) largest_of_subgroup[gl_SubgroupID] = largest;
  barrier();
  for (uint i = 0; i < THREADS / SUBGROUP; ++i) largest = max(largest, largest_of_subgroup[i]);
  return largest;
}
