#version 460
#extension GL_GOOGLE_include_directive : require
// The best candidates of rows of logits (StepOutput::candidates): a workgroup finds those of a stretch of the vocabulary one
// after another, and the workgroup of a row that ends last finds the row's among them.
#include "common.glsl"
#include "last_workgroup.glsl"
layout(constant_id = 2) const uint VALUES = 16;  ///< of a stretch for each thread

layout(push_constant) uniform Arguments { BestLogitsArguments a; };

const uint SUBGROUPS = THREADS / SUBGROUP;
// A candidate is (key, token): keys order as the logits do, and of equals the lower token comes first.
const uvec2 NOTHING = uvec2(0, 0xffffffff);
const uvec2 BEFORE_ALL = uvec2(0xffffffff, 0);

shared uvec2 best_of_subgroup[SUBGROUPS];

bool comes_before(uvec2 one, uvec2 other) { return one.x > other.x || (one.x == other.x && one.y < other.y); }

/// By integers, because shaders may take NaN for any number: -infinity and NaN give 0, and the two zeros are equal.
uint key_of(uint bits) {
  const uint magnitude = bits & 0x7fffffff;
  if (magnitude == 0) return 0x80000000;
  if (magnitude > 0x7f800000 || bits == 0xff800000) return 0;
  return (bits & 0x80000000) != 0 ? ~bits : bits | 0x80000000;
}

/// Of this thread's share of the row's stretch, or of the stretches' candidates, the first that comes after `last`.
uvec2 next_after(uvec2 last, uint row, uint wanted, bool joins) {
  uvec2 best = NOTHING;
  const uint first = joins ? 0 : gl_WorkGroupID.y * VALUES * THREADS;
  const uint end = joins ? gl_NumWorkGroups.y * wanted : min(first + VALUES * THREADS, a.vocabulary);
  for (uint i = first + thread_index(); i < end; i += THREADS) {
    uvec2 value;
    if (joins) {
      value = a.partials.v[(row * gl_NumWorkGroups.y + i / wanted) * kMostCandidates + i % wanted];
    } else {
      value = uvec2(key_of(a.logits.v[row * a.vocabulary + i]), i);
    }
    if (value.x > 0 && comes_before(last, value) && comes_before(value, best)) best = value;
  }
  return best;
}

/// The first of the threads' candidates, in every thread.
uvec2 first_of_all(uvec2 mine) {
  const uint key = subgroupMax(mine.x);
  const uint token = subgroupMin(mine.x == key ? mine.y : NOTHING.y);
  if (gl_SubgroupInvocationID == 0) best_of_subgroup[gl_SubgroupID] = uvec2(key, token);
  barrier();
  uvec2 best = best_of_subgroup[0];
  for (uint s = 1; s < SUBGROUPS; ++s) {
    if (comes_before(best_of_subgroup[s], best)) best = best_of_subgroup[s];
  }
  barrier();
  return best;
}

void write_result(uint row, uint rank, uvec2 best) {
  const bool exists = best.x > 0;
  a.result.v[row * kMostCandidates + rank] =
      uvec2(best.y, exists ? a.logits.v[row * a.vocabulary + best.y] : 0xff800000);
  if (rank == 0) a.best.v[row] = best.y;
}

void select(uint row, uint wanted, bool joins) {
  const bool is_result = joins || gl_NumWorkGroups.y == 1;
  uvec2 mine = next_after(BEFORE_ALL, row, wanted, joins);
  for (uint rank = 0; rank < wanted; ++rank) {
    const uvec2 best = first_of_all(mine);
    if (thread_index() == 0) {
      if (is_result) {
        write_result(row, rank, best);
      } else {
        a.partials.v[(row * gl_NumWorkGroups.y + gl_WorkGroupID.y) * kMostCandidates + rank] = best;
      }
    }
    if (mine == best && best.x > 0 && rank + 1 < wanted) mine = next_after(best, row, wanted, joins);
  }
}

void main() {
  const uint row = gl_WorkGroupID.x;
  if (row >= a.step.header.logit_rows) return;
  const uint wanted = a.wanted.v[row];
  if (wanted == 0) return;  // the host reads the whole row
  select(row, wanted, false);
  if (gl_NumWorkGroups.y > 1 && is_last(a.counters, row, gl_NumWorkGroups.y)) select(row, wanted, true);
}
