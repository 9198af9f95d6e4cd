#version 460
#extension GL_GOOGLE_include_directive : require
// LatentAttention: a workgroup for each token, some of its heads and a stretch of the context. Blocks of the cache, which
// all heads read, go through shared memory. A subgroup scores its share of a block's rows for a group of GROUP_HEADS heads,
// whose queries its lanes hold in registers; then each thread adds up four values of the rows for a group. Sums are columns
// of matrices and scores components of vectors, not elements of arrays, which NVIDIA's compiler put into memory. Softmax is
// updated as rows come (Milakov and Gimelshein, arXiv 1805.02867); where a context is split, the workgroup that ends last
// puts the parts together.
#include "common.glsl"
#include "latent_layout.h"
layout(constant_id = 2) const uint WIDTH = 576;
layout(constant_id = 3) const uint VALUE_DIM = 512;
layout(constant_id = 4) const uint GROUPS = 2;        ///< of heads of a workgroup, a power of two
layout(constant_id = 5) const uint SPLIT_ROWS = 256;  ///< a stretch is a multiple of this
layout(constant_id = 6) const uint ROWS_AT_ONCE = 16;  ///< whose values are loaded before they are added up
#include "last_workgroup.glsl"

layout(push_constant) uniform Arguments { LatentAttentionArguments a; };

const float NOTHING = -1e30;
const uint GROUP_HEADS = 4;  ///< one for each component of a vec4
const uint HEADS = GROUPS * GROUP_HEADS;
const uint ROWS = kCacheBlockTokens;
const uint SUBGROUPS = THREADS / SUBGROUP;  ///< a power of two
const uint TEAMS = SUBGROUPS / GROUPS;      ///< subgroups that share a group's rows, at most 4
const uint SHARE = ROWS / TEAMS;            ///< rows of a subgroup: some fours
const uint UNITS = WIDTH / 4;               ///< of four values, of a row
const uint VALUE_UNITS = VALUE_DIM / 4;
const uint LANE_UNITS = (UNITS + SUBGROUP - 1) / SUBGROUP;
const uint ITEMS = GROUPS * VALUE_UNITS;
const uint THREAD_ITEMS = (ITEMS + THREADS - 1) / THREADS;
const uint BLOCK_LOADS = ROWS * WIDTH / 8;  ///< of 16 bytes
const uint LOADS = (BLOCK_LOADS + THREADS - 1) / THREADS;
const uint LANES = SUBGROUP < ROWS ? SUBGROUP : ROWS;  ///< that weigh a group's rows

shared uvec2 rows[ROWS * UNITS];
shared vec4 scores[ROWS * GROUPS];  ///< of a group's heads; later the weights
shared vec4 top[GROUPS], denominator[GROUPS], rescale[GROUPS];

vec4 query[GROUP_HEADS * LANE_UNITS];
mat4 sums[THREAD_ITEMS];  ///< a column for each head of a group

uint group_of_subgroup() { return gl_SubgroupID / TEAMS; }

vec4 unit_of(uint row, uint unit) {
  const uvec2 packed = rows[row * UNITS + unit];
  return vec4(unpackHalf2x16(packed.x), unpackHalf2x16(packed.y));
}

uint head_of(uint part, uint group, uint head) { return part * HEADS + group * GROUP_HEADS + head; }

void load_queries(uint token, uint part) {
  [[unroll]] for (uint h = 0; h < GROUP_HEADS; ++h) {
    const uint head = token * a.heads + min(head_of(part, group_of_subgroup(), h), a.heads - 1);
    [[unroll]] for (uint u = 0; u < LANE_UNITS; ++u) {
      const uint unit = u * SUBGROUP + gl_SubgroupInvocationID;
      const vec4 values = a.query.v[head * UNITS + min(unit, UNITS - 1)];
      query[h * LANE_UNITS + u] = unit < UNITS ? values * a.scale : vec4(0);
    }
  }
}

/// Puts the block that begins at position `first` into shared memory. Rows from `last` on are never read: they may hold
/// anything.
void load_block(AttentionTile tile, uint first, uint last) {
  const uint block = uint(IntsIn(a.step).v[a.tables + tile.table + first / ROWS]);
  const uint existing = min((last - first) * (WIDTH / 8), BLOCK_LOADS);
  uvec4 loaded[LOADS];
  [[unroll]] for (uint i = 0; i < LOADS; ++i) {
    loaded[i] = a.cache.v[block * BLOCK_LOADS + min(i * THREADS + thread_index(), existing - 1)];
  }
  [[unroll]] for (uint i = 0; i < LOADS; ++i) {
    const uint at = i * THREADS + thread_index();
    if (at >= BLOCK_LOADS) continue;
    rows[2 * at] = at < existing ? loaded[i].xy : uvec2(0);
    rows[2 * at + 1] = at < existing ? loaded[i].zw : uvec2(0);
  }
}

/// Scores of four rows. Adding up over the lanes, rows are dealt out: by its two lowest bits a lane keeps one of the four.
void score_rows(uint first_row) {
  vec4 score0 = vec4(0), score1 = vec4(0), score2 = vec4(0), score3 = vec4(0);
  [[unroll]] for (uint u = 0; u < LANE_UNITS; ++u) {
    const uint unit = min(u * SUBGROUP + gl_SubgroupInvocationID, UNITS - 1);
    const vec4 key0 = unit_of(first_row, unit), key1 = unit_of(first_row + 1, unit);
    const vec4 key2 = unit_of(first_row + 2, unit), key3 = unit_of(first_row + 3, unit);
    [[unroll]] for (uint h = 0; h < GROUP_HEADS; ++h) {
      const vec4 q = query[h * LANE_UNITS + u];
      score0[h] += dot(q, key0);
      score1[h] += dot(q, key1);
      score2[h] += dot(q, key2);
      score3[h] += dot(q, key3);
    }
  }
  const bool second = (gl_SubgroupInvocationID & 2) != 0, odd = (gl_SubgroupInvocationID & 1) != 0;
  const vec4 even_score = (second ? score2 : score0) + subgroupShuffleXor(second ? score0 : score2, 2);
  const vec4 odd_score = (second ? score3 : score1) + subgroupShuffleXor(second ? score1 : score3, 2);
  vec4 score = (odd ? odd_score : even_score) + subgroupShuffleXor(odd ? even_score : odd_score, 1);
  for (uint mask = 4; mask < SUBGROUP; mask <<= 1) score += subgroupShuffleXor(score, mask);
  if (gl_SubgroupInvocationID < 4) {
    scores[(first_row + gl_SubgroupInvocationID) * GROUPS + group_of_subgroup()] = score;
  }
}

/// Scores become weights relative to the highest score so far: LANES lanes for each group.
void weigh_rows(uint seen) {
  const uint slots = SUBGROUP / LANES, lane = gl_SubgroupInvocationID % LANES;
  for (uint g = gl_SubgroupID * slots + gl_SubgroupInvocationID / LANES; g < GROUPS; g += SUBGROUPS * slots) {
    vec4 higher = top[g];
    for (uint r = lane; r < seen; r += LANES) higher = max(higher, scores[r * GROUPS + g]);
    for (uint mask = 1; mask < LANES; mask <<= 1) higher = max(higher, subgroupShuffleXor(higher, mask));
    vec4 sum = vec4(0);
    for (uint r = lane; r < ROWS; r += LANES) {
      const vec4 weight = r < seen ? exp(scores[r * GROUPS + g] - higher) : vec4(0);
      scores[r * GROUPS + g] = weight;
      sum += weight;
    }
    for (uint mask = 1; mask < LANES; mask <<= 1) sum += subgroupShuffleXor(sum, mask);
    if (lane == 0) {
      rescale[g] = exp(top[g] - higher);
      denominator[g] = denominator[g] * rescale[g] + sum;
      top[g] = higher;
    }
  }
}

/// What a thread adds up: four values for a group.
struct Item {
  uint group, unit;
  bool exists;
};
Item item_of(uint i) {
  const uint item = i * THREADS + thread_index();
  return Item(min(item, ITEMS - 1) / VALUE_UNITS, min(item, ITEMS - 1) % VALUE_UNITS, item < ITEMS);
}

mat4 scaled(mat4 sum, vec4 factors) {
  return mat4(sum[0] * factors.x, sum[1] * factors.y, sum[2] * factors.z, sum[3] * factors.w);
}

void add_values() {
  [[unroll]] for (uint i = 0; i < THREAD_ITEMS; ++i) {
    const Item item = item_of(i);
    mat4 sum = scaled(sums[i], rescale[item.group]);
    for (uint first = 0; first < ROWS; first += ROWS_AT_ONCE) {
      [[unroll]] for (uint r = 0; r < ROWS_AT_ONCE; ++r) {
        const vec4 values = unit_of(first + r, item.unit), weight = scores[(first + r) * GROUPS + item.group];
        sum[0] += weight.x * values;
        sum[1] += weight.y * values;
        sum[2] += weight.z * values;
        sum[3] += weight.w * values;
      }
    }
    sums[i] = sum;
  }
}

// A part of a context: [GROUPS][GROUP_HEADS][VALUE_DIM] sums, then [GROUPS] of four tops and four denominators.
const uint PART_QUADS = HEADS * VALUE_UNITS + 2 * GROUPS;

void write_part(uint part) {
  const uint from = part * PART_QUADS;
  [[unroll]] for (uint i = 0; i < THREAD_ITEMS; ++i) {
    const Item item = item_of(i);
    if (!item.exists) continue;
    const mat4 sum = sums[i];
    [[unroll]] for (uint h = 0; h < GROUP_HEADS; ++h) {
      const uint at = from + (item.group * GROUP_HEADS + h) * VALUE_UNITS + item.unit;
      PartialQuads(a.partials).v[at] = sum[h];
    }
  }
  for (uint g = thread_index(); g < GROUPS; g += THREADS) {
    PartialQuads(a.partials).v[from + HEADS * VALUE_UNITS + 2 * g] = top[g];
    PartialQuads(a.partials).v[from + HEADS * VALUE_UNITS + 2 * g + 1] = denominator[g];
  }
}

vec4 top_of_part(uint part, uint group) {
  return PartialQuads(a.partials).v[part * PART_QUADS + HEADS * VALUE_UNITS + 2 * group];
}

/// The parts' sums and denominators, one part after the other.
void join_parts(uint first_part, uint parts) {
  for (uint g = thread_index(); g < GROUPS; g += THREADS) {
    vec4 higher = vec4(NOTHING), sum = vec4(0);
    for (uint p = 0; p < parts; ++p) higher = max(higher, top_of_part(first_part + p, g));
    for (uint p = 0; p < parts; ++p) {
      const uint at = (first_part + p) * PART_QUADS + HEADS * VALUE_UNITS + 2 * g + 1;
      sum += exp(top_of_part(first_part + p, g) - higher) * PartialQuads(a.partials).v[at];
    }
    top[g] = higher;
    denominator[g] = sum;
  }
  barrier();
  [[unroll]] for (uint i = 0; i < THREAD_ITEMS; ++i) {
    const Item item = item_of(i);
    mat4 sum = mat4(0);
    for (uint p = 0; p < parts; ++p) {
      const uint at = (first_part + p) * PART_QUADS + item.group * GROUP_HEADS * VALUE_UNITS + item.unit;
      const mat4 part = mat4(PartialQuads(a.partials).v[at], PartialQuads(a.partials).v[at + VALUE_UNITS],
                             PartialQuads(a.partials).v[at + 2 * VALUE_UNITS],
                             PartialQuads(a.partials).v[at + 3 * VALUE_UNITS]);
      sum += scaled(part, exp(top_of_part(first_part + p, item.group) - top[item.group]));
    }
    sums[i] = sum;
  }
}

void write_result(uint token, uint part) {
  [[unroll]] for (uint i = 0; i < THREAD_ITEMS; ++i) {
    const Item item = item_of(i);
    const mat4 sum = scaled(sums[i], 1 / denominator[item.group]);
    [[unroll]] for (uint h = 0; h < GROUP_HEADS; ++h) {
      const uint head = head_of(part, item.group, h);
      if (!item.exists || head >= a.heads) continue;
      a.result.v[(token * a.heads + head) * VALUE_UNITS + item.unit] = sum[h];
    }
  }
}

void main() {
  const uint index = gl_WorkGroupID.x, part = gl_WorkGroupID.y, split = gl_WorkGroupID.z;
  if (index >= a.step.header.singles) return;
  const AttentionTile tile = TilesRef(a.step).tile[a.tiles + index];

  // The positions before `count`, cut into stretches; short contexts use fewer splits, and every workgroup of a team comes
  // to the same numbers.
  const uint count = tile.first_position + 1;
  const uint stretches = (count + SPLIT_ROWS - 1) / SPLIT_ROWS;
  const uint stretch = (stretches + a.splits - 1) / a.splits * SPLIT_ROWS;
  const uint splits = (count + stretch - 1) / stretch;
  if (split >= splits) return;
  const uint last = min(count, (split + 1) * stretch);

  load_queries(tile.first_row, part);
  for (uint g = thread_index(); g < GROUPS; g += THREADS) {
    top[g] = vec4(NOTHING);
    denominator[g] = vec4(0);
  }
  [[unroll]] for (uint i = 0; i < THREAD_ITEMS; ++i) sums[i] = mat4(0);
  for (uint first = split * stretch; first < last; first += ROWS) {
    load_block(tile, first, last);
    barrier();
    for (uint r = 0; r < SHARE; r += 4) score_rows(gl_SubgroupID % TEAMS * SHARE + r);
    barrier();
    weigh_rows(min(last - first, ROWS));
    barrier();
    add_values();
    barrier();
  }

  const uint team = index * ((a.heads + HEADS - 1) / HEADS) + part;
  if (splits > 1) {
    write_part(team * a.splits + split);
    if (!is_last(Counters(a.partials), a.counters + team, splits)) return;
    join_parts(team * a.splits, splits);
  }
  write_result(tile.first_row, part);
}
