#version 460
#extension GL_GOOGLE_include_directive : require
// LatentAttention: a workgroup for each token, some of its heads and a stretch of the context. Blocks of the cache, which
// all heads read, go through shared memory; a subgroup scores its share of a block's rows with the queries in its lanes'
// registers, and each thread adds up some values of the rows for all heads. Softmax is updated as rows come (Milakov and
// Gimelshein, arXiv 1805.02867); where a context is split, the workgroup that ends last puts the parts together.
#include "common.glsl"
layout(constant_id = 2) const uint WIDTH = 576;
layout(constant_id = 3) const uint VALUE_DIM = 512;
layout(constant_id = 4) const uint HEADS = 4;          ///< of a workgroup, a power of two
layout(constant_id = 5) const uint SPLIT_ROWS = 256;   ///< a stretch is a multiple of this
#include "last_workgroup.glsl"

layout(push_constant) uniform Arguments { LatentAttentionArguments a; };

const float NOTHING = -1e30;
const uint ROWS = kCacheBlockTokens;
const uint SUBGROUPS = THREADS / SUBGROUP;  ///< a power of two, at most ROWS
const uint SHARE = ROWS / SUBGROUPS;        ///< rows of a block that a subgroup scores
const uint SCORES = SHARE * HEADS;
const uint LANE_SCORES = SCORES > SUBGROUP ? SCORES / SUBGROUP : 1;
const uint WORDS = WIDTH / 2, UNITS = WIDTH / 8;  ///< of a row: of two values, of 16 bytes
const uint LANE_WORDS = (WORDS + SUBGROUP - 1) / SUBGROUP;
const uint VALUE_WORDS = VALUE_DIM / 2;
const uint THREAD_WORDS = (VALUE_WORDS + THREADS - 1) / THREADS;
const uint LOADS = (ROWS * UNITS + THREADS - 1) / THREADS;

shared uvec4 rows[ROWS * UNITS];
shared float scores[ROWS * HEADS];  ///< later the weights
shared float top[HEADS], denominator[HEADS], rescale[HEADS];

vec2 query[HEADS * LANE_WORDS];
vec2 sums[HEADS * THREAD_WORDS];
uvec4 loaded[LOADS];

vec2 pair_of(uint row, uint word) {
  const uint at = row * WORDS + word;
  return unpackHalf2x16(rows[at / 4][at % 4]);
}

void load_queries(uint token, uint part) {
  [[unroll]] for (uint h = 0; h < HEADS; ++h) {
    const uint head = token * a.heads + min(part * HEADS + h, a.heads - 1);
    [[unroll]] for (uint w = 0; w < LANE_WORDS; ++w) {
      const uint word = w * SUBGROUP + gl_SubgroupInvocationID;
      const vec2 pair = Vec2sIn(a.query).v[head * WORDS + min(word, WORDS - 1)];
      query[h * LANE_WORDS + w] = word < WORDS ? pair * a.scale : vec2(0);
    }
  }
}

/// The block that begins at position `first`. Rows from `last` on are never read: they may hold anything.
void load_block(AttentionTile tile, uint first, uint last) {
  const uint block = uint(IntsIn(a.step).v[a.tables + tile.table + first / ROWS]);
  [[unroll]] for (uint i = 0; i < LOADS; ++i) {
    const uint at = i * THREADS + thread_index();
    loaded[i] = uvec4(0);
    if (at < ROWS * UNITS && first + at / UNITS < last) loaded[i] = a.cache.v[block * ROWS * UNITS + at];
  }
}

void share_block() {
  [[unroll]] for (uint i = 0; i < LOADS; ++i) {
    const uint at = i * THREADS + thread_index();
    if (at < ROWS * UNITS) rows[at] = loaded[i];
  }
}

// Adding up over the lanes, scores are dealt out: step s leaves to a lane, by its bit s, the lower or the upper half of
// those that it still has. That takes SCORES - 1 shuffles where summing each score by itself takes log2(SUBGROUP) times as
// many.
const uint MOST_STEPS = 7;
uint dealt(uint step) { return (1u << step) < SUBGROUP ? SCORES >> (step + 1) : 0; }

void score_rows() {
  float partial[SCORES];
  [[unroll]] for (uint r = 0; r < SHARE; ++r) {
    [[unroll]] for (uint h = 0; h < HEADS; ++h) partial[r * HEADS + h] = 0;
    [[unroll]] for (uint w = 0; w < LANE_WORDS; ++w) {
      const uint word = w * SUBGROUP + gl_SubgroupInvocationID;
      const vec2 key = pair_of(gl_SubgroupID * SHARE + r, min(word, WORDS - 1));
      [[unroll]] for (uint h = 0; h < HEADS; ++h) partial[r * HEADS + h] += dot(query[h * LANE_WORDS + w], key);
    }
  }
  uint first = 0;
  [[unroll]] for (uint s = 0; s < MOST_STEPS; ++s) {
    const bool upper = (gl_SubgroupInvocationID >> s & 1) != 0;
    const uint rest = dealt(s);
    [[unroll]] for (uint i = 0; i < rest; ++i) {
      const float given = upper ? partial[i] : partial[i + rest];
      const float kept = upper ? partial[i + rest] : partial[i];
      partial[i] = kept + subgroupShuffleXor(given, 1u << s);
    }
    if (upper) first += rest;
  }
  [[unroll]] for (uint i = 0; i < LANE_SCORES; ++i) {
    for (uint mask = SCORES; mask < SUBGROUP; mask <<= 1) partial[i] += subgroupShuffleXor(partial[i], mask);
    if (gl_SubgroupInvocationID < SCORES) scores[gl_SubgroupID * SCORES + first + i] = partial[i];
  }
}

/// Scores become weights relative to the highest score so far.
void weigh_rows(uint seen) {
  for (uint h = gl_SubgroupID; h < HEADS; h += SUBGROUPS) {
    float higher = top[h];
    for (uint r = gl_SubgroupInvocationID; r < seen; r += SUBGROUP) higher = max(higher, scores[r * HEADS + h]);
    higher = subgroupMax(higher);
    float sum = 0;
    for (uint r = gl_SubgroupInvocationID; r < ROWS; r += SUBGROUP) {
      const float weight = r < seen ? exp(scores[r * HEADS + h] - higher) : 0;
      scores[r * HEADS + h] = weight;
      sum += weight;
    }
    sum = subgroupAdd(sum);
    if (gl_SubgroupInvocationID == 0) {
      rescale[h] = exp(top[h] - higher);
      denominator[h] = denominator[h] * rescale[h] + sum;
      top[h] = higher;
    }
  }
}

uint value_word(uint w) { return w * THREADS + thread_index(); }

void add_values() {
  [[unroll]] for (uint h = 0; h < HEADS; ++h) {
    [[unroll]] for (uint w = 0; w < THREAD_WORDS; ++w) sums[h * THREAD_WORDS + w] *= rescale[h];
  }
  for (uint r = 0; r < ROWS; ++r) {
    [[unroll]] for (uint w = 0; w < THREAD_WORDS; ++w) {
      const vec2 value = pair_of(r, min(value_word(w), VALUE_WORDS - 1));
      [[unroll]] for (uint h = 0; h < HEADS; ++h) sums[h * THREAD_WORDS + w] += scores[r * HEADS + h] * value;
    }
  }
}

// A part of a context: [HEADS][VALUE_DIM] sums, then [HEADS] of (top, denominator).
const uint PART_FLOATS = HEADS * (VALUE_DIM + 2);

void write_part(uint part) {
  const uint from = part * PART_FLOATS;
  [[unroll]] for (uint h = 0; h < HEADS; ++h) {
    [[unroll]] for (uint w = 0; w < THREAD_WORDS; ++w) {
      if (value_word(w) >= VALUE_WORDS) continue;
      const uint at = from + h * VALUE_DIM + 2 * value_word(w);
      a.partials.v[at] = sums[h * THREAD_WORDS + w].x;
      a.partials.v[at + 1] = sums[h * THREAD_WORDS + w].y;
    }
  }
  for (uint h = thread_index(); h < HEADS; h += THREADS) {
    a.partials.v[from + HEADS * VALUE_DIM + 2 * h] = top[h];
    a.partials.v[from + HEADS * VALUE_DIM + 2 * h + 1] = denominator[h];
  }
}

/// The parts' sums and denominators, one part after the other.
void join_parts(uint first_part, uint parts) {
  for (uint h = thread_index(); h < HEADS; h += THREADS) {
    float higher = NOTHING, sum = 0;
    for (uint p = 0; p < parts; ++p) {
      higher = max(higher, a.partials.v[(first_part + p) * PART_FLOATS + HEADS * VALUE_DIM + 2 * h]);
    }
    for (uint p = 0; p < parts; ++p) {
      const uint at = (first_part + p) * PART_FLOATS + HEADS * VALUE_DIM + 2 * h;
      sum += exp(a.partials.v[at] - higher) * a.partials.v[at + 1];
    }
    top[h] = higher;
    denominator[h] = sum;
  }
  barrier();
  [[unroll]] for (uint i = 0; i < HEADS * THREAD_WORDS; ++i) sums[i] = vec2(0);
  for (uint p = 0; p < parts; ++p) {
    const uint from = (first_part + p) * PART_FLOATS;
    [[unroll]] for (uint h = 0; h < HEADS; ++h) {
      const float factor = exp(a.partials.v[from + HEADS * VALUE_DIM + 2 * h] - top[h]);
      [[unroll]] for (uint w = 0; w < THREAD_WORDS; ++w) {
        const uint at = from + h * VALUE_DIM + 2 * min(value_word(w), VALUE_WORDS - 1);
        sums[h * THREAD_WORDS + w] += factor * vec2(a.partials.v[at], a.partials.v[at + 1]);
      }
    }
  }
}

void write_result(uint token, uint part) {
  [[unroll]] for (uint h = 0; h < HEADS; ++h) {
    const uint head = part * HEADS + h;
    [[unroll]] for (uint w = 0; w < THREAD_WORDS; ++w) {
      if (head >= a.heads || value_word(w) >= VALUE_WORDS) continue;
      a.result.v[(token * a.heads + head) * VALUE_WORDS + value_word(w)] = sums[h * THREAD_WORDS + w] / denominator[h];
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

  load_block(tile, split * stretch, last);
  load_queries(tile.first_row, part);
  for (uint h = thread_index(); h < HEADS; h += THREADS) {
    top[h] = NOTHING;
    denominator[h] = 0;
  }
  [[unroll]] for (uint i = 0; i < HEADS * THREAD_WORDS; ++i) sums[i] = vec2(0);
  for (uint first = split * stretch; first < last; first += ROWS) {
    share_block();
    barrier();
    if (first + ROWS < last) load_block(tile, first + ROWS, last);
    score_rows();
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
