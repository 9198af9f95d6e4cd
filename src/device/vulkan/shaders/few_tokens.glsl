// Matrix times a few vectors (1 to 16 tokens): each weight is loaded once and meets all tokens. A subgroup computes ROWS
// rows; its lanes take neighbouring blocks of a row. SPLIT subgroups share the same rows by taking turns along the row.
// UNROLL blocks of every row are in flight for each lane.

layout(constant_id = 2) const uint ENCODING = 4;
layout(constant_id = 3) const uint TOKENS = 1;
layout(constant_id = 4) const uint ROWS = 4;
layout(constant_id = 5) const uint SPLIT = 1;
layout(constant_id = 6) const uint UNROLL = 1;

#include "weights.glsl"

const uint SUBGROUPS = THREADS / SUBGROUP;
const uint TEAMS = SUBGROUPS / SPLIT;  ///< groups of subgroups that share rows

shared float partial_sums[SPLIT > 1 ? SUBGROUPS * ROWS * TOKENS : 1];

struct FewInput {
  Uvec4sIn x;
  Vec2sIn x_pairs;
  uint blocks;
};

void load_rows(WeightMatrix m, uint row, uint block, out RawBlock raw[ROWS]) {
  [[unroll]] for (uint r = 0; r < ROWS; ++r) raw[r] = load_units(m, row + r, block);
  if (!HAS_GROUPED_SCALE) return;
  if (ROWS % 4 == 0) {
    [[unroll]] for (uint r = 0; r < ROWS; r += 4) {
      const vec4 scales = load_grouped4(m, row + r, block, 0);
      [[unroll]] for (uint i = 0; i < 4; ++i) raw[min(r + i, ROWS - 1)].scale = scales[i];
      if (HAS_GROUPED_MINIMUM) {
        const vec4 minimums = load_grouped4(m, row + r, block, m.padded_rows >> 2);
        [[unroll]] for (uint i = 0; i < 4; ++i) raw[min(r + i, ROWS - 1)].minimum = minimums[i];
      }
    }
  } else {
    [[unroll]] for (uint r = 0; r < ROWS; ++r) {
      raw[r].scale = load_grouped(m, row + r, block, 0);
      if (HAS_GROUPED_MINIMUM) raw[r].minimum = load_grouped(m, row + r, block, m.padded_rows >> 2);
    }
  }
}

void add_products(RawBlock raw[ROWS], FewInput x, uint block, inout float sums[ROWS][TOKENS]) {
  if (IS_PLAIN) {
    [[unroll]] for (uint t = 0; t < TOKENS; ++t) {
      [[unroll]] for (uint quad = 0; quad < 8; ++quad) {
        const vec4 four = uintBitsToFloat(x.x.v[(t * x.blocks + block) * 8 + quad]);
        [[unroll]] for (uint r = 0; r < ROWS; ++r) sums[r][t] += dot(unpack_plain(raw[r], quad), four);
      }
    }
  } else {
    ByteBlock bytes[ROWS];
    [[unroll]] for (uint r = 0; r < ROWS; ++r) bytes[r] = unpack_bytes(raw[r], block);
    [[unroll]] for (uint t = 0; t < TOKENS; ++t) {
      const uint at = t * x.blocks + block;
      const uvec4 low = x.x.v[2 * at], high = x.x.v[2 * at + 1];
      const vec2 pair = x.x_pairs.v[at];
      [[unroll]] for (uint r = 0; r < ROWS; ++r) sums[r][t] += dot_block(bytes[r], low, high, pair);
    }
  }
}

/// Sums of this lane over its blocks of rows [row, row + ROWS).
void multiply_lane(WeightMatrix m, uint row, FewInput x, out float sums[ROWS][TOKENS]) {
  [[unroll]] for (uint r = 0; r < ROWS; ++r) {
    [[unroll]] for (uint t = 0; t < TOKENS; ++t) sums[r][t] = 0;
  }
  const uint stride = SPLIT * SUBGROUP;
  uint block = (gl_SubgroupID % SPLIT) * SUBGROUP + gl_SubgroupInvocationID;
  for (; block + (UNROLL - 1) * stride < m.blocks; block += UNROLL * stride) {
    RawBlock raw[UNROLL][ROWS];
    [[unroll]] for (uint u = 0; u < UNROLL; ++u) load_rows(m, row, block + u * stride, raw[u]);
    [[unroll]] for (uint u = 0; u < UNROLL; ++u) add_products(raw[u], x, block + u * stride, sums);
  }
  if (UNROLL > 1) {
    for (; block < m.blocks; block += stride) {
      RawBlock raw[ROWS];
      load_rows(m, row, block, raw);
      add_products(raw, x, block, sums);
    }
  }
}

/// The whole sums, in the first subgroup of each team. Contains a barrier when SPLIT > 1: call it from every thread.
void reduce_sums(inout float sums[ROWS][TOKENS]) {
  [[unroll]] for (uint r = 0; r < ROWS; ++r) {
    [[unroll]] for (uint t = 0; t < TOKENS; ++t) sums[r][t] = subgroupAdd(sums[r][t]);
  }
  if (SPLIT == 1) return;
  if (gl_SubgroupInvocationID == 0) {
    [[unroll]] for (uint r = 0; r < ROWS; ++r) {
      [[unroll]] for (uint t = 0; t < TOKENS; ++t) {
        partial_sums[(gl_SubgroupID * ROWS + r) * TOKENS + t] = sums[r][t];
      }
    }
  }
  barrier();
  if (gl_SubgroupID % SPLIT == 0) {
    [[unroll]] for (uint r = 0; r < ROWS; ++r) {
      [[unroll]] for (uint t = 0; t < TOKENS; ++t) {
        for (uint s = 1; s < SPLIT; ++s) {
          sums[r][t] += partial_sums[((gl_SubgroupID + s) * ROWS + r) * TOKENS + t];
        }
      }
    }
  }
}
