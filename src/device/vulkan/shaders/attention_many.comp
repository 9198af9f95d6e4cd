#version 460
#extension GL_GOOGLE_include_directive : require
// Attention of a tile of up to TILE consecutive tokens of one sequence, for the GROUP query heads of one KV head, in plain
// float32: for devices without matrix units. Softmax is updated as keys come (Milakov and Gimelshein, arXiv 1805.02867).
#include "attention.glsl"
layout(constant_id = 7) const uint TILE = 4;
layout(constant_id = 8) const uint KEYS = 64;  ///< keys in flight

const uint QUERIES = TILE * GROUP;
const uint SUBGROUPS = THREADS / SUBGROUP;
const uint KEY_LANES = THREADS / KEYS;   ///< lanes that share a key's dot product
const uint SLICES = THREADS / CHUNKS;    ///< of the keys in flight, when values are added up

shared vec4 queries[QUERIES * QUADS];  ///< later the sums
shared float scores[QUERIES * KEYS];
shared uint key_rows[KEYS];
shared float highest[QUERIES], denominator[QUERIES], rescale[QUERIES];

struct Span {
  uint first, last;  ///< positions
};

void load_queries(AttentionTile tile, uint kv_head) {
  for (uint i = thread_index(); i < QUERIES * QUADS; i += THREADS) {
    const uint n = i / QUADS;
    const uint row = tile.first_row + min(n / GROUP, tile.token_count - 1);
    const uint head = kv_head * GROUP + n % GROUP;
    const uint at = (row * a.kv_heads * GROUP + head) * QUADS + i % QUADS;
    queries[i] = Vec4sIn(a.query).v[at] * a.scale;
  }
  for (uint n = thread_index(); n < QUERIES; n += THREADS) {
    highest[n] = NOTHING;
    denominator[n] = 0;
  }
}

bool sees(AttentionTile tile, uint n, uint key) {
  const uint position = tile.first_position + n / GROUP;
  return key <= position && key >= first_seen(position);
}

void score_keys(AttentionTile tile, uint kv_head, Span span) {
  const uint k = thread_index() / KEY_LANES, lane = thread_index() % KEY_LANES;
  const uint key = min(span.first + k, span.last);
  const uint row = key_row(tile, kv_head, key);
  float sums[QUERIES];
  [[unroll]] for (uint n = 0; n < QUERIES; ++n) sums[n] = 0;
  for (uint chunk = lane; chunk < CHUNKS; chunk += KEY_LANES) {
    const uvec4 packed = a.cache.v[row * CHUNKS + chunk];
    const vec4 low = wide(packed.x, packed.y), high = wide(packed.z, packed.w);
    [[unroll]] for (uint n = 0; n < QUERIES; ++n) {
      sums[n] += dot(queries[n * QUADS + 2 * chunk], low) + dot(queries[n * QUADS + 2 * chunk + 1], high);
    }
  }
  [[unroll]] for (uint n = 0; n < QUERIES; ++n) {
    for (uint mask = 1; mask < KEY_LANES; mask <<= 1) sums[n] += subgroupShuffleXor(sums[n], mask);
  }
  if (lane != 0) return;
  key_rows[k] = row;
  [[unroll]] for (uint n = 0; n < QUERIES; ++n) {
    const bool seen = span.first + k <= span.last && sees(tile, n, span.first + k);
    scores[n * KEYS + k] = seen ? capped(sums[n]) : NOTHING;
  }
}

/// Scores become weights relative to the highest score so far.
void weigh_keys() {
  for (uint n = gl_SubgroupID; n < QUERIES; n += SUBGROUPS) {
    float top = highest[n];
    for (uint k = gl_SubgroupInvocationID; k < KEYS; k += SUBGROUP) top = max(top, scores[n * KEYS + k]);
    top = subgroupMax(top);
    float sum = 0;
    for (uint k = gl_SubgroupInvocationID; k < KEYS; k += SUBGROUP) {
      const float score = scores[n * KEYS + k];
      const float weight = score > NOTHING ? exp(score - top) : 0;
      scores[n * KEYS + k] = weight;
      sum += weight;
    }
    sum = subgroupAdd(sum);
    if (gl_SubgroupInvocationID == 0) {
      rescale[n] = exp(highest[n] - top);
      denominator[n] = denominator[n] * rescale[n] + sum;
      highest[n] = top;
    }
  }
}

void add_values(inout vec4 low[QUERIES], inout vec4 high[QUERIES]) {
  const uint chunk = thread_index() % CHUNKS, slice = thread_index() / CHUNKS;
  if (slice >= SLICES) return;
  [[unroll]] for (uint n = 0; n < QUERIES; ++n) {
    low[n] *= rescale[n];
    high[n] *= rescale[n];
  }
  for (uint k = slice; k < KEYS; k += SLICES) {
    const uvec4 packed = a.cache.v[(key_rows[k] + kCacheBlockTokens) * CHUNKS + chunk];
    const vec4 v_low = wide(packed.x, packed.y), v_high = wide(packed.z, packed.w);
    [[unroll]] for (uint n = 0; n < QUERIES; ++n) {
      low[n] += scores[n * KEYS + k] * v_low;
      high[n] += scores[n * KEYS + k] * v_high;
    }
  }
}

/// The slices' sums, added up in `queries`.
void gather_sums(vec4 low[QUERIES], vec4 high[QUERIES]) {
  const uint chunk = thread_index() % CHUNKS, slice = thread_index() / CHUNKS;
  for (uint s = 0; s < SLICES; ++s) {
    if (slice == s) {
      [[unroll]] for (uint n = 0; n < QUERIES; ++n) {
        const uint at = n * QUADS + 2 * chunk;
        queries[at] = s == 0 ? low[n] : queries[at] + low[n];
        queries[at + 1] = s == 0 ? high[n] : queries[at + 1] + high[n];
      }
    }
    barrier();
  }
}

void write_result(AttentionTile tile, uint kv_head) {
  const uint quads = QUERIES * QUADS;
  for (uint i = thread_index(); i < (quads + SUBGROUP - 1) / SUBGROUP * SUBGROUP; i += THREADS) {
    const uint at = min(i, quads - 1);
    const uint n = at / QUADS, head = kv_head * GROUP + n % GROUP;
    const bool exists = i < quads && n / GROUP < tile.token_count;
    const vec4 value = queries[at] * normalization(highest[n], denominator[n], head);
    write_quad(exists, tile.first_row + n / GROUP, head, at % QUADS, value);
  }
}

void main() {
  const uint kv_head = gl_WorkGroupID.y;
  if (gl_WorkGroupID.x >= a.step.header.tiles) return;
  const AttentionTile tile = tile_of(a.step.header.singles + gl_WorkGroupID.x);
  Span span = Span(first_seen(tile.first_position), tile.first_position + tile.token_count - 1);

  load_queries(tile, kv_head);
  barrier();
  vec4 low[QUERIES], high[QUERIES];
  [[unroll]] for (uint n = 0; n < QUERIES; ++n) low[n] = high[n] = vec4(0);
  for (; span.first <= span.last; span.first += KEYS) {
    score_keys(tile, kv_head, span);
    barrier();
    weigh_keys();
    barrier();
    add_values(low, high);
    barrier();
  }
  gather_sums(low, high);
  write_result(tile, kv_head);
}
