#version 460
#extension GL_GOOGLE_include_directive : require
#extension GL_KHR_shader_subgroup_vote : require
// Attention of single tokens: a workgroup for each token, KV head (and part of its query heads) and stretch of the
// context. Each subgroup takes batches of keys, holds them, their values and its share of the queries in registers, and
// updates a softmax of its own (Milakov and Gimelshein, arXiv 1805.02867); nothing is shared until the end. Where a
// context is split, the workgroup that ends last puts the parts together (Dao, "Flash-Decoding").
//
// FUSED, for steps of one token for each sequence: RopeAndStore is done here too. Each workgroup makes its own queries
// from the projection's rows; the token's own key and value come from shared memory and go to the cache beside that.
//
// KEY_LANES lanes share a key, each with LANE_CHUNKS chunks of its dimensions; a subgroup has STRIPES such rows of
// lanes, and each of them takes ROUNDS keys of one block of the cache.
#include "attention.glsl"
layout(constant_id = 7) const uint HEADS = 2;      ///< query heads of a workgroup
layout(constant_id = 8) const uint KEY_LANES = 16;  ///< a power of two
layout(constant_id = 9) const uint ROUNDS = 8;      ///< a power of two, at most KEY_LANES and kCacheBlockTokens
layout(constant_id = 10) const uint SPLIT_KEYS = 256;  ///< a stretch is a multiple of this
layout(constant_id = 11) const bool FUSED = false;
layout(constant_id = 12) const bool Q_NORM = false;
layout(constant_id = 13) const bool K_NORM = false;
layout(constant_id = 14) const bool INTERLEAVED = false;
layout(constant_id = 15) const uint FRAGMENT_N = 0;  ///< and what follows: fragment_order.glsl
layout(constant_id = 16) const uint FRAGMENT_K = 16;
layout(constant_id = 17) const uint FRAGMENT_CLASSES = 4;
layout(constant_id = 18) const uint FRAGMENT_LANES = 32;
layout(constant_id = 19) const uint OF_TOKEN = 0;
layout(constant_id = 20) const uint OF_CLASS = 0;
layout(constant_id = 21) const uint OF_POSITION = 0;
#include "fragment_order.glsl"
#include "halves.glsl"
#include "rope.glsl"
#include "last_workgroup.glsl"

const uint SUBGROUPS = THREADS / SUBGROUP;
const uint PARTS = (GROUP + HEADS - 1) / HEADS;
const uint STRIPES = SUBGROUP / KEY_LANES;
const uint BATCH = STRIPES * ROUNDS;
const uint LANE_CHUNKS = (CHUNKS + KEY_LANES - 1) / KEY_LANES;
const uint COPIES = KEY_LANES / ROUNDS;  ///< lanes that come to the same score
const uint LANE_QUADS = 2 * LANE_CHUNKS;

shared float head_values[FUSED ? HEADS * HEAD_DIM : 1];  ///< queries
/// Key and value, f16 in a word each: rounded through memory, since Mesa 25 drops a rounding within one expression.
shared uint own_halves[FUSED ? 2 * HEAD_DIM : 1];
shared vec4 gathered[SUBGROUPS * HEADS * QUADS];
shared float tops[SUBGROUPS * HEADS], denominators[SUBGROUPS * HEADS];

// What a lane holds.
uvec4 keys[ROUNDS * LANE_CHUNKS], values[ROUNDS * LANE_CHUNKS];
vec4 query[HEADS * LANE_QUADS];
vec4 sums[HEADS * LANE_QUADS];
float top[HEADS];          ///< the same in all lanes
float denominator[HEADS];  ///< its lanes' sum is COPIES times the subgroup's
float weight[HEADS];       ///< of the key that this lane scored

uint stripe() { return gl_SubgroupInvocationID / KEY_LANES; }
uint chunk(uint c) { return gl_SubgroupInvocationID % KEY_LANES + c * KEY_LANES; }

/// A stripe's keys of a batch: consecutive rows of the cache.
struct Rows {
  uint first;
  uint last;  ///< the number of rows less one; those beyond are never read
};

/// `batch` is the first key of a subgroup's batch, below `end`.
Rows rows_of(AttentionTile tile, uint kv_head, uint batch, uint end) {
  const uint key = min(batch + stripe() * ROUNDS, (end - 1) / ROUNDS * ROUNDS);
  return Rows(key_row(tile, kv_head, key), min(ROUNDS, end - key) - 1);
}

void load_keys(Rows rows) {
  [[unroll]] for (uint r = 0; r < ROUNDS; ++r) {
    const uint row = rows.first + min(r, rows.last);
    [[unroll]] for (uint c = 0; c < LANE_CHUNKS; ++c) {
      keys[r * LANE_CHUNKS + c] = a.cache.v[row * CHUNKS + min(chunk(c), CHUNKS - 1)];
    }
  }
}

void load_values(Rows rows) {
  [[unroll]] for (uint r = 0; r < ROUNDS; ++r) {
    const uint row = rows.first + kCacheBlockTokens + min(r, rows.last);
    [[unroll]] for (uint c = 0; c < LANE_CHUNKS; ++c) {
      values[r * LANE_CHUNKS + c] = a.cache.v[row * CHUNKS + min(chunk(c), CHUNKS - 1)];
    }
  }
}

void clear() {
  [[unroll]] for (uint h = 0; h < HEADS; ++h) {
    top[h] = NOTHING;
    denominator[h] = 0;
    [[unroll]] for (uint q = 0; q < LANE_QUADS; ++q) sums[h * LANE_QUADS + q] = vec4(0);
  }
}

/// Norm and rope of the workgroup's queries, of the key, and the value as it is, into shared memory. With one token for
/// each sequence tiles stand in the order of rows, so that their loads need not wait for the tile.
void make_heads(AttentionTile tile, uint kv_head, uint part) {
  const uint heads = a.kv_heads * GROUP;
  for (uint n = gl_SubgroupID; n < HEADS + 2; n += SUBGROUPS) {
    const uint index = n < HEADS ? kv_head * GROUP + min(part * HEADS + n, GROUP - 1)
                                 : heads + (n - HEADS) * a.kv_heads + kv_head;
    const uint from = (gl_WorkGroupID.x * (heads + 2 * a.kv_heads) + index) * HEAD_DIM;
    const float factor = Q_NORM || K_NORM ? norm_factor(a.query, from, a.epsilon) : 1;
    for (uint i = gl_SubgroupInvocationID; i < HEAD_PAIRS; i += SUBGROUP) {
      const uvec2 at = pair_places(i, a.pairs);
      vec2 pair = vec2(a.query.v[from + at.x], a.query.v[from + at.y]);
      if (Q_NORM && n < HEADS) pair *= factor * vec2(a.q_norm.v[at.x], a.q_norm.v[at.y]);
      if (K_NORM && n == HEADS) pair *= factor * vec2(a.k_norm.v[at.x], a.k_norm.v[at.y]);
      if (n <= HEADS && i < a.pairs) pair = turn(pair, a.rope, tile.first_position, a.pairs, i);
      if (n < HEADS) {
        head_values[n * HEAD_DIM + at.x] = pair.x;
        head_values[n * HEAD_DIM + at.y] = pair.y;
      } else {
        own_halves[(n - HEADS) * HEAD_DIM + at.x] = packHalf2x16(vec2(pair.x, 0));
        own_halves[(n - HEADS) * HEAD_DIM + at.y] = packHalf2x16(vec2(pair.y, 0));
      }
    }
  }
  barrier();
}

vec4 head_quad(uint head, uint quad) {
  const uint at = head * HEAD_DIM + 4 * quad;
  return vec4(head_values[at], head_values[at + 1], head_values[at + 2], head_values[at + 3]);
}

uint own_word(uint at) { return own_halves[at] | own_halves[at + 1] << 16; }
/// Of the token's own key (0) or value (1), as the cache will give it back.
vec4 own_quad(uint kv, uint quad) {
  return wide(own_word(kv * HEAD_DIM + 4 * quad), own_word(kv * HEAD_DIM + 4 * quad + 2));
}

void load_queries(AttentionTile tile, uint kv_head, uint part) {
  [[unroll]] for (uint h = 0; h < HEADS; ++h) {
    const uint head = kv_head * GROUP + min(part * HEADS + h, GROUP - 1);
    [[unroll]] for (uint c = 0; c < LANE_CHUNKS; ++c) {
      const bool exists = chunk(c) < CHUNKS;
      [[unroll]] for (uint half_chunk = 0; half_chunk < 2; ++half_chunk) {
        const uint quad = 2 * min(chunk(c), CHUNKS - 1) + half_chunk;
        const vec4 value = FUSED ? head_quad(h, quad)
                                 : Vec4sIn(a.query).v[(tile.first_row * a.kv_heads * GROUP + head) * QUADS + quad];
        query[h * LANE_QUADS + 2 * c + half_chunk] = exists ? value * a.scale : vec4(0);
      }
    }
  }
}

void store_own(AttentionTile tile, uint kv_head) {
  const uint row = key_row(tile, kv_head, tile.first_position);
  for (uint i = thread_index(); i < HEAD_DIM; i += THREADS) {
    const uint kv = i / (HEAD_DIM / 2), word = i % (HEAD_DIM / 2);
    Uints(a.cache).v[(row + kv * kCacheBlockTokens) * (HEAD_DIM / 2) + word] = own_word(kv * HEAD_DIM + 2 * word);
  }
}

/// Starts a subgroup's softmax with the token's own key and value.
void see_own() {
  [[unroll]] for (uint h = 0; h < HEADS; ++h) {
    float score = 0;
    [[unroll]] for (uint q = 0; q < LANE_QUADS; ++q) {
      const uint quad = min(2 * chunk(q / 2) + q % 2, QUADS - 1);
      score += dot(query[h * LANE_QUADS + q], own_quad(0, quad));
      sums[h * LANE_QUADS + q] = stripe() == 0 ? own_quad(1, quad) : vec4(0);
    }
    for (uint mask = 1; mask < KEY_LANES; mask <<= 1) score += subgroupShuffleXor(score, mask);
    top[h] = capped(score);
    denominator[h] = gl_SubgroupInvocationID < COPIES ? 1 : 0;
  }
}

// Adding up over the lanes of a stripe, rounds are dealt out: step s keeps those rounds whose bit ROUNDS >> (s + 1) is
// bit s of the lane. That takes ROUNDS - 1 shuffles for each head where summing each round by itself takes ROUNDS times
// log2(KEY_LANES).
const uint MOST_STEPS = 4;

uint round_of_lane() {
  uint round = 0;
  [[unroll]] for (uint s = 0; s < MOST_STEPS; ++s) {
    if ((gl_SubgroupInvocationID >> s & 1) != 0) round |= ROUNDS >> (s + 1);
  }
  return round;
}

uint lane_of_round(uint round) {
  uint lane = 0;
  [[unroll]] for (uint s = 0; s < MOST_STEPS; ++s) {
    if ((round & (ROUNDS >> (s + 1))) != 0) lane |= 1u << s;
  }
  return stripe() * KEY_LANES + lane;
}

/// `weight` becomes the score of this lane's key for each head.
void score_keys() {
  float scores[ROUNDS * HEADS];
  [[unroll]] for (uint r = 0; r < ROUNDS; ++r) {
    [[unroll]] for (uint h = 0; h < HEADS; ++h) scores[r * HEADS + h] = 0;
    [[unroll]] for (uint c = 0; c < LANE_CHUNKS; ++c) {
      const uvec4 packed = keys[r * LANE_CHUNKS + c];
      const vec4 low = wide(packed.x, packed.y), high = wide(packed.z, packed.w);
      [[unroll]] for (uint h = 0; h < HEADS; ++h) {
        scores[r * HEADS + h] += dot(query[h * LANE_QUADS + 2 * c], low) + dot(query[h * LANE_QUADS + 2 * c + 1], high);
      }
    }
  }
  [[unroll]] for (uint s = 0; s < MOST_STEPS; ++s) {
    const bool upper = (gl_SubgroupInvocationID >> s & 1) != 0;
    const uint rest = (ROUNDS >> (s + 1)) * HEADS;
    [[unroll]] for (uint i = 0; i < rest; ++i) {
      const float given = upper ? scores[i] : scores[i + rest];
      const float kept = upper ? scores[i + rest] : scores[i];
      scores[i] = kept + subgroupShuffleXor(given, 1u << s);
    }
  }
  [[unroll]] for (uint h = 0; h < HEADS; ++h) {
    for (uint mask = ROUNDS; mask < KEY_LANES; mask <<= 1) scores[h] += subgroupShuffleXor(scores[h], mask);
    weight[h] = scores[h];
  }
}

/// Scores become weights relative to the highest score so far.
void weigh_keys(bool seen) {
  [[unroll]] for (uint h = 0; h < HEADS; ++h) {
    const float score = seen ? capped(weight[h]) : NOTHING;
    if (subgroupAny(score > top[h])) {
      const float higher = subgroupMax(max(score, top[h]));
      const float factor = exp(top[h] - higher);
      top[h] = higher;
      denominator[h] *= factor;
      [[unroll]] for (uint q = 0; q < LANE_QUADS; ++q) sums[h * LANE_QUADS + q] *= factor;
    }
    weight[h] = seen ? exp(score - top[h]) : 0;
    denominator[h] += weight[h];
  }
}

void add_values() {
  [[unroll]] for (uint r = 0; r < ROUNDS; ++r) {
    const uint source = lane_of_round(r);
    float weights[HEADS];
    [[unroll]] for (uint h = 0; h < HEADS; ++h) weights[h] = subgroupShuffle(weight[h], source);
    [[unroll]] for (uint c = 0; c < LANE_CHUNKS; ++c) {
      const uvec4 packed = values[r * LANE_CHUNKS + c];
      const vec4 low = wide(packed.x, packed.y), high = wide(packed.z, packed.w);
      [[unroll]] for (uint h = 0; h < HEADS; ++h) {
        sums[h * LANE_QUADS + 2 * c] += weights[h] * low;
        sums[h * LANE_QUADS + 2 * c + 1] += weights[h] * high;
      }
    }
  }
}

/// The subgroups' softmaxes, in shared memory for combine().
void gather() {
  [[unroll]] for (uint h = 0; h < HEADS; ++h) {
    const float sum = subgroupAdd(denominator[h]) / float(COPIES);
    if (gl_SubgroupInvocationID == 0) {
      tops[gl_SubgroupID * HEADS + h] = top[h];
      denominators[gl_SubgroupID * HEADS + h] = sum;
    }
    [[unroll]] for (uint q = 0; q < LANE_QUADS; ++q) {
      vec4 value = sums[h * LANE_QUADS + q];
      for (uint mask = KEY_LANES; mask < SUBGROUP; mask <<= 1) value += subgroupShuffleXor(value, mask);
      const uint quad = 2 * chunk(q / 2) + q % 2;
      if (stripe() == 0 && quad < QUADS) gathered[(gl_SubgroupID * HEADS + h) * QUADS + quad] = value;
    }
  }
  barrier();
}

struct Sum {
  vec4 value;
  float top, denominator;
};

/// All subgroups together, for one quad of a head.
Sum combine(uint head, uint quad) {
  Sum all = Sum(vec4(0), NOTHING, 0);
  for (uint s = 0; s < SUBGROUPS; ++s) all.top = max(all.top, tops[s * HEADS + head]);
  for (uint s = 0; s < SUBGROUPS; ++s) {
    const float factor = exp(tops[s * HEADS + head] - all.top);
    all.value += factor * gathered[(s * HEADS + head) * QUADS + quad];
    all.denominator += factor * denominators[s * HEADS + head];
  }
  return all;
}

// A part of a context: [HEADS][HEAD_DIM] sums, then [HEADS] of (top, denominator), padded to quads.
const uint PART_QUADS = HEADS * QUADS + (HEADS + 1) / 2;

void write_part(uint part) {
  for (uint i = thread_index(); i < HEADS * QUADS; i += THREADS) {
    const Sum sum = combine(i / QUADS, i % QUADS);
    PartialQuads(a.partials).v[part * PART_QUADS + i] = sum.value;
    if (i % QUADS == 0) {
      const uint at = (part * PART_QUADS + HEADS * QUADS) * 4 + 2 * (i / QUADS);
      a.partials.v[at] = sum.top;
      a.partials.v[at + 1] = sum.denominator;
    }
  }
}

/// Each stripe takes parts as if they were keys; gather() does the rest.
void join_parts(uint first_part, uint parts) {
  clear();
  for (uint p = gl_SubgroupID * STRIPES; p < parts; p += SUBGROUPS * STRIPES) {
    const bool exists = p + stripe() < parts;
    const uint part = first_part + min(p + stripe(), parts - 1);
    [[unroll]] for (uint h = 0; h < HEADS; ++h) {
      const uint at = (part * PART_QUADS + HEADS * QUADS) * 4 + 2 * h;
      const float part_top = exists ? a.partials.v[at] : NOTHING;
      const float part_sum = a.partials.v[at + 1];
      const float higher = subgroupMax(max(top[h], part_top));
      const float old_factor = exp(top[h] - higher);
      const float factor = exists ? exp(part_top - higher) : 0;
      top[h] = higher;
      denominator[h] *= old_factor;
      if (gl_SubgroupInvocationID % KEY_LANES < COPIES) denominator[h] += factor * part_sum;
      [[unroll]] for (uint q = 0; q < LANE_QUADS; ++q) {
        const uint quad = min(2 * chunk(q / 2) + q % 2, QUADS - 1);
        sums[h * LANE_QUADS + q] = sums[h * LANE_QUADS + q] * old_factor +
                                   factor * PartialQuads(a.partials).v[part * PART_QUADS + h * QUADS + quad];
      }
    }
  }
}

void write_result(AttentionTile tile, uint kv_head, uint part) {
  const uint quads = HEADS * QUADS;
  for (uint i = thread_index(); i < (quads + SUBGROUP - 1) / SUBGROUP * SUBGROUP; i += THREADS) {
    const uint h = min(i, quads - 1) / QUADS, quad = min(i, quads - 1) % QUADS;
    const bool exists = i < quads && part * HEADS + h < GROUP;
    const uint head = kv_head * GROUP + min(part * HEADS + h, GROUP - 1);
    const Sum sum = combine(h, quad);
    const QuantizedQuad quantized =
        write_quad(exists, tile.first_row, head, quad, sum.value * normalization(sum.top, sum.denominator, head));
    if (FRAGMENT_N == 0 || !exists) continue;
    const uint blocks = a.kv_heads * GROUP * HEAD_DIM / 32;
    store_bytes_in_order(Uvec2s(a.result), a.fragments, tile.first_row, blocks, head * QUADS + quad, quantized.bytes,
                         quantized.scale * ATTENDED_POWER);
    if (head == 0 && quad == 0) a.result.v[a.fragment_scales + tile.first_row] = 1 / ATTENDED_POWER;
  }
}

void main() {
  const uint index = gl_WorkGroupID.x, kv_head = gl_WorkGroupID.y / PARTS, part = gl_WorkGroupID.y % PARTS;
  const uint split = gl_WorkGroupID.z;
  const AttentionTile tile = tile_of(index);
  if (index >= a.step.header.singles) return;

  // The keys in the cache from `begin` to before `end`, cut into stretches; short contexts use fewer splits, and every
  // workgroup of a team comes to the same numbers.
  const uint position = tile.first_position;
  const uint seen_first = first_seen(position);
  const uint begin = seen_first / ROUNDS * ROUNDS;
  const uint end = FUSED ? position : position + 1;
  const uint count = end > seen_first ? end - begin : 0;
  const uint stretches = (count + SPLIT_KEYS - 1) / SPLIT_KEYS;
  const uint stretch = max((stretches + a.splits - 1) / a.splits, 1) * SPLIT_KEYS;
  const uint splits = max((count + stretch - 1) / stretch, 1);
  if (split >= splits) return;
  const uint first = begin + split * stretch, last = count == 0 ? first : min(end, first + stretch);

  uint batch = first + gl_SubgroupID * BATCH;
  Rows rows;
  if (batch < last) {
    rows = rows_of(tile, kv_head, batch, last);
    load_keys(rows);
    load_values(rows);
  }
  if (FUSED) make_heads(tile, kv_head, part);
  load_queries(tile, kv_head, part);
  clear();
  if (FUSED && split + 1 == splits) {
    if (part == 0) store_own(tile, kv_head);
    if (gl_SubgroupID + 1 == SUBGROUPS) see_own();
  }
  for (; batch < last; batch += SUBGROUPS * BATCH) {
    const uint key = batch + stripe() * ROUNDS + round_of_lane();
    const bool more = batch + SUBGROUPS * BATCH < last;
    if (more) rows = rows_of(tile, kv_head, batch + SUBGROUPS * BATCH, last);
    score_keys();
    if (more) load_keys(rows);
    weigh_keys(key >= seen_first && key < last);
    add_values();
    if (more) load_values(rows);
  }

  const uint team = index * a.kv_heads * PARTS + gl_WorkGroupID.y;
  for (bool joined = splits == 1;; joined = true) {
    gather();
    if (joined) break;
    write_part(team * a.splits + split);
    if (!is_last(Counters(a.partials), a.counters + team, splits)) return;
    join_parts(team * a.splits, splits);
  }
  write_result(tile, kv_head, part);
}
