// Which of the workgroups that share a result comes last, and so puts their parts together.

/// Of barriers that make writes available to others, and theirs visible: in Vulkan's memory model ordering alone does not.
const int kPublish = gl_SemanticsAcquireRelease | gl_SemanticsMakeAvailable | gl_SemanticsMakeVisible;

shared bool comes_last;

/// Whether this workgroup is the last of so many to come here, all of whose writes it then sees. Their counter is zero
/// before and after. Call it from every thread.
bool is_last(Counters counters, uint counter, uint workgroups) {
  controlBarrier(gl_ScopeWorkgroup, gl_ScopeQueueFamily, gl_StorageSemanticsBuffer, kPublish);
  if (thread_index() == 0) {
    const uint ended =
        atomicAdd(counters.v[counter], 1, gl_ScopeQueueFamily, gl_StorageSemanticsBuffer, gl_SemanticsAcquireRelease);
    comes_last = ended + 1 == workgroups;
    if (comes_last) counters.v[counter] = 0;
  }
  controlBarrier(gl_ScopeWorkgroup, gl_ScopeQueueFamily, gl_StorageSemanticsBuffer | gl_StorageSemanticsShared,
                 kPublish);
  return comes_last;
}
