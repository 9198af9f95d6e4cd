// Launches that wait for each other by counters instead of a barrier of the API, which lets nothing of a launch begin
// before all of the one before has ended: here its workgroups come as the others' leave, and have their first weights on
// the way while they wait. A launch counts its workgroups that ended; those of the next wait for all of them before they
// touch what a launch wrote. As each launch waits for the whole one before it, it comes behind everything earlier.
//
// That ends only if a device starts workgroups in the order of launches, which all known ones do and the specification
// does not promise. So waiting has an end too: then the step says that it gave up, and nothing waits any more.
//
// Included behind the push constants. Every workgroup must come to both functions, with all its threads; only one that
// neither reads nor writes anything of the step need not wait, as long as the launch's first one does.

const uint kMostPolls = 1 << 20;  ///< some 0.7 s on an H200

uint chain_word(uint at) {
  return atomicLoad(Counters(a.step).v[at], gl_ScopeQueueFamily, gl_StorageSemanticsBuffer, gl_SemanticsRelaxed);
}

void poll_counter(uint at) {
  for (uint polls = 0; chain_word(at) < chain.waits_for; ++polls) {
    if (polls % 4096 != 4095) continue;
    if (polls < kMostPolls && chain_word(kChainGaveUp) == 0) continue;
    atomicStore(Counters(a.step).v[kChainGaveUp], 1u, gl_ScopeQueueFamily, gl_StorageSemanticsBuffer, gl_SemanticsRelaxed);
    return;
  }
}

/// Before the first access to what a launch of this step wrote, and before the first write.
void wait_for_earlier() {
  if (!CHAINED || chain.waits_for == 0) return;
  if (thread_index() == 0) poll_counter(kChainAt + (chain.link - 1) * kChainStride);
  controlBarrier(gl_ScopeWorkgroup, gl_ScopeQueueFamily, gl_StorageSemanticsBuffer, gl_SemanticsAcquireRelease);
}

/// After the last write.
void count_as_ended() {
  if (!CHAINED || chain.link == 0) return;
  controlBarrier(gl_ScopeWorkgroup, gl_ScopeQueueFamily, gl_StorageSemanticsBuffer, gl_SemanticsAcquireRelease);
  if (thread_index() == 0) {
    atomicAdd(Counters(a.step).v[kChainAt + chain.link * kChainStride], 1u, gl_ScopeQueueFamily,
              gl_StorageSemanticsBuffer, gl_SemanticsRelease);
  }
}
