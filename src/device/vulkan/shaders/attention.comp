#version 460
#extension GL_GOOGLE_include_directive : require
// Attention of a tile of up to TILE consecutive tokens of one sequence, for the GROUP query heads of one KV head, over one
// of up to `splits` stretches of the context. Softmax is updated as keys come (Milakov and Gimelshein, arXiv 1805.02867);
// where a context is split, the workgroup that ends last puts the parts together (Dao, "Flash-Decoding").
#include "common.glsl"
layout(constant_id = 2) const uint HEAD_DIM = 128;
layout(constant_id = 3) const uint GROUP = 2;
layout(constant_id = 4) const uint TILE = 1;
layout(constant_id = 5) const uint KEYS = 64;        ///< keys in flight
layout(constant_id = 6) const uint SPLIT_KEYS = 64;  ///< a stretch is a multiple of this; itself a multiple of KEYS
layout(constant_id = 7) const bool HAS_SINKS = false;
layout(constant_id = 8) const bool FLOAT_RESULT = true;
layout(constant_id = 9) const bool QUANTIZED_RESULT = false;
#include "quantize.glsl"
const uint ACTIVATION = 0;
#include "activation.glsl"

layout(push_constant) uniform Arguments { AttentionArguments a; };

const uint QUERIES = TILE * GROUP;
const uint SUBGROUPS = THREADS / SUBGROUP;
const uint KEY_LANES = THREADS / KEYS;   ///< lanes that share a key's dot product
const uint CHUNKS = HEAD_DIM / 8;        ///< of 8 dimensions, 16 bytes of f16
const uint SLICES = THREADS / CHUNKS;    ///< of the keys in flight, when values are added up
const float NOTHING = -1e30;             ///< score of a key that is not seen

shared vec4 queries[QUERIES * HEAD_DIM / 4];  ///< later the sums
shared float scores[QUERIES * KEYS];
shared uint key_rows[KEYS];
shared float highest[QUERIES], denominator[QUERIES], rescale[QUERIES];
shared bool ends_last;

struct Span {
  uint first, last;  ///< positions
};

vec4 wide(uint low, uint high) { return vec4(unpackHalf2x16(low), unpackHalf2x16(high)); }

void load_queries(AttentionTile tile, uint kv_head) {
  for (uint i = thread_index(); i < QUERIES * HEAD_DIM / 4; i += THREADS) {
    const uint n = i / (HEAD_DIM / 4);
    const uint row = tile.first_row + min(n / GROUP, tile.token_count - 1);
    const uint head = kv_head * GROUP + n % GROUP;
    const uint at = ((row * a.kv_heads * GROUP + head) * HEAD_DIM) / 4 + i % (HEAD_DIM / 4);
    queries[i] = Vec4sIn(a.query).v[at] * a.scale;
  }
  for (uint n = thread_index(); n < QUERIES; n += THREADS) {
    highest[n] = NOTHING;
    denominator[n] = 0;
  }
}

bool sees(AttentionTile tile, uint n, uint key) {
  const uint position = tile.first_position + n / GROUP;
  return key <= position && (a.window == 0 || position - key < a.window);
}

void score_keys(AttentionTile tile, uint kv_head, Span span) {
  const uint k = thread_index() / KEY_LANES, lane = thread_index() % KEY_LANES;
  const uint key = min(span.first + k, span.last);
  const uint block = uint(a.tables.v[tile.table + key / kCacheBlockTokens]);
  const uint key_row = (block * a.kv_heads + kv_head) * 2 * kCacheBlockTokens + key % kCacheBlockTokens;
  float sums[QUERIES];
  [[unroll]] for (uint n = 0; n < QUERIES; ++n) sums[n] = 0;
  for (uint chunk = lane; chunk < CHUNKS; chunk += KEY_LANES) {
    const uvec4 packed = a.cache.v[key_row * CHUNKS + chunk];
    const vec4 low = wide(packed.x, packed.y), high = wide(packed.z, packed.w);
    [[unroll]] for (uint n = 0; n < QUERIES; ++n) {
      sums[n] += dot(queries[n * (HEAD_DIM / 4) + 2 * chunk], low) + dot(queries[n * (HEAD_DIM / 4) + 2 * chunk + 1], high);
    }
  }
  [[unroll]] for (uint n = 0; n < QUERIES; ++n) {
    for (uint mask = 1; mask < KEY_LANES; mask <<= 1) sums[n] += subgroupShuffleXor(sums[n], mask);
  }
  if (lane != 0) return;
  key_rows[k] = key_row;
  [[unroll]] for (uint n = 0; n < QUERIES; ++n) {
    const float score = a.softcap > 0 ? soft_cap(sums[n], a.softcap) : sums[n];
    scores[n * KEYS + k] = span.first + k <= span.last && sees(tile, n, span.first + k) ? score : NOTHING;
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
        const uint at = n * (HEAD_DIM / 4) + 2 * chunk;
        queries[at] = s == 0 ? low[n] : queries[at] + low[n];
        queries[at + 1] = s == 0 ? high[n] : queries[at + 1] + high[n];
      }
    }
    barrier();
  }
}

// A part: [QUERIES][HEAD_DIM] sums, then [QUERIES] highest, then [QUERIES] denominators.
const uint PART = QUERIES * (HEAD_DIM + 2);

void write_part(uint part) {
  for (uint i = thread_index(); i < QUERIES * HEAD_DIM; i += THREADS) {
    a.partials.v[part * PART + i] = queries[i / 4][i % 4];
  }
  for (uint n = thread_index(); n < QUERIES; n += THREADS) {
    a.partials.v[part * PART + QUERIES * HEAD_DIM + n] = highest[n];
    a.partials.v[part * PART + QUERIES * (HEAD_DIM + 1) + n] = denominator[n];
  }
}

/// Puts `parts` parts together in `queries` and `denominator`.
void join_parts(uint first_part, uint parts) {
  for (uint n = thread_index(); n < QUERIES; n += THREADS) {
    float top = NOTHING;
    for (uint p = 0; p < parts; ++p) top = max(top, a.partials.v[(first_part + p) * PART + QUERIES * HEAD_DIM + n]);
    float sum = 0;
    for (uint p = 0; p < parts; ++p) {
      const uint at = (first_part + p) * PART + QUERIES * HEAD_DIM + n;
      sum += exp(a.partials.v[at] - top) * a.partials.v[at + QUERIES];
    }
    highest[n] = top;
    denominator[n] = sum;
  }
  barrier();
  for (uint i = thread_index(); i < QUERIES * HEAD_DIM; i += THREADS) {
    const uint n = i / HEAD_DIM;
    float sum = 0;
    for (uint p = 0; p < parts; ++p) {
      const uint at = (first_part + p) * PART;
      sum += exp(a.partials.v[at + QUERIES * HEAD_DIM + n] - highest[n]) * a.partials.v[at + i];
    }
    queries[i / 4][i % 4] = sum;
  }
  barrier();
}

void write_result(AttentionTile tile, uint kv_head) {
  const uint quads = QUERIES * HEAD_DIM / 4;
  for (uint i = thread_index(); i < (quads + SUBGROUP - 1) / SUBGROUP * SUBGROUP; i += THREADS) {
    const uint quad = min(i, quads - 1);
    const uint n = quad / (HEAD_DIM / 4);
    const uint head = kv_head * GROUP + n % GROUP;
    float sum = denominator[n];
    float factor = 1;
    if (HAS_SINKS) {
      const float top = max(highest[n], a.sinks.v[head]);
      factor = exp(highest[n] - top);
      sum = sum * factor + exp(a.sinks.v[head] - top);
    }
    const vec4 value = queries[quad] * (factor / sum);
    const bool exists = i < quads && n / GROUP < tile.token_count;
    const uint at = ((tile.first_row + n / GROUP) * a.kv_heads * GROUP + head) * (HEAD_DIM / 4) + quad % (HEAD_DIM / 4);
    if (FLOAT_RESULT && exists) Vec4s(a.result).v[at] = value;
    if (QUANTIZED_RESULT) {
      vec2 pair;
      const uint bytes = quantize_quad(value, pair);
      if (exists) {
        a.result_quants.v[at] = bytes;
        if (at % 8 == 0) a.result_pairs.v[at / 8] = pair;
      }
    }
  }
}

void main() {
  const uint tile_index = gl_WorkGroupID.x, kv_head = gl_WorkGroupID.y, split = gl_WorkGroupID.z;
  if (tile_index >= a.step.header.tiles) return;
  const AttentionTile tile = a.tiles.tile[tile_index];
  Span all;
  all.first = a.window > 0 && tile.first_position + 1 > a.window ? tile.first_position + 1 - a.window : 0;
  all.last = tile.first_position + tile.token_count - 1;

  // Short contexts use fewer splits; every workgroup of a tile comes to the same numbers.
  const uint stretches = (all.last - all.first) / SPLIT_KEYS + 1;
  const uint per_split = ((stretches + a.splits - 1) / a.splits) * SPLIT_KEYS;
  const uint splits = (all.last - all.first) / per_split + 1;
  if (split >= splits) return;
  Span span = Span(all.first + split * per_split, min(all.last, all.first + (split + 1) * per_split - 1));

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

  if (splits > 1) {
    const uint team = tile_index * a.kv_heads + kv_head;
    write_part(team * a.splits + split);
    controlBarrier(gl_ScopeWorkgroup, gl_ScopeQueueFamily, gl_StorageSemanticsBuffer, gl_SemanticsAcquireRelease);
    if (thread_index() == 0) {
      const uint ended = atomicAdd(a.counters.v[team], 1, gl_ScopeQueueFamily, gl_StorageSemanticsBuffer,
                                   gl_SemanticsAcquireRelease);
      ends_last = ended + 1 == splits;
      if (ends_last) a.counters.v[team] = 0;
    }
    controlBarrier(gl_ScopeWorkgroup, gl_ScopeQueueFamily, gl_StorageSemanticsBuffer | gl_StorageSemanticsShared,
                   gl_SemanticsAcquireRelease);
    if (!ends_last) return;
    join_parts(team * a.splits, splits);
  }
  write_result(tile, kv_head);
}
