// Matrix times a few vectors (1 to 16 tokens): each weight is loaded once and meets all tokens. A cluster of CLUSTER
// neighbouring lanes computes ROWS rows: its lanes take neighbouring blocks of a row (8 lanes of 16 bytes are a cache line,
// and rows are whole numbers of 8 blocks in all common models, where 32 would leave lanes idle), and all clusters of a
// subgroup read the same activations. SPLIT subgroups share the same rows by taking turns along the row. UNROLL blocks of
// every row are in flight for each lane. With JOINED a lane waits once for all that it loads of weights in a turn.
//
// The order of a token's sum depends on CLUSTER, SPLIT and the size of subgroups, never on the other constants. With
// FIXED_ORDER its bits do not either, and workgroups share more tokens than one of them takes (gl_WorkGroupID.y).

layout(constant_id = 2) const uint ENCODING = 4;
layout(constant_id = 3) const uint TOKENS = 1;
layout(constant_id = 4) const uint ROWS = 4;
layout(constant_id = 5) const uint SPLIT = 1;
layout(constant_id = 6) const uint UNROLL = 1;
layout(constant_id = 7) const uint CLUSTER = 8;

#include "weights.glsl"

const uint TEAMS = THREADS / SUBGROUP / SPLIT;  ///< groups of subgroups that share rows
const uint CLUSTERS = SUBGROUP / CLUSTER;
const uint OUTPUTS = TEAMS * CLUSTERS * ROWS;   ///< rows of a workgroup, of each matrix

shared float partial_sums[MATRICES * SPLIT * TOKENS * OUTPUTS];

struct FewInput {
  Uvec4sIn x;
  Vec2sIn x_pairs;
  uint blocks;
  uint first_token;
  uint nothing;  ///< 0, which no compiler knows
};

/// Of the workgroup's tokens.
uint first_token() { return FIXED_ORDER ? gl_WorkGroupID.y * TOKENS : 0; }

/// Where this lane's rows begin among the workgroup's.
uint first_output() {
  return (gl_SubgroupID / SPLIT * CLUSTERS + gl_SubgroupInvocationID / CLUSTER) * ROWS;
}

void load_rows(WeightMatrix m, uint row, uint block, out RawBlock raw[ROWS]) {
  [[unroll]] for (uint r = 0; r < ROWS; ++r) raw[r] = load_units(m, place_block(m, row + r, block));
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
  } else if (ROWS == 2) {
    const vec2 scales = load_grouped2(m, row, block, 0);
    [[unroll]] for (uint i = 0; i < 2; ++i) raw[min(i, ROWS - 1)].scale = scales[i];
    if (HAS_GROUPED_MINIMUM) {
      const vec2 minimums = load_grouped2(m, row, block, m.padded_rows >> 2);
      [[unroll]] for (uint i = 0; i < 2; ++i) raw[min(i, ROWS - 1)].minimum = minimums[i];
    }
  } else {
    [[unroll]] for (uint r = 0; r < ROWS; ++r) {
      raw[r].scale = load_grouped(m, row + r, block, 0);
      if (HAS_GROUPED_MINIMUM) raw[r].minimum = load_grouped(m, row + r, block, m.padded_rows >> 2);
    }
  }
}

/// Compilers put a load right before what needs it first, so that one wait follows another: here all weights of a turn are
/// needed before any is unpacked.
void join_loads(inout RawBlock raw[UNROLL][MATRICES][ROWS], uint nothing) {
  if (!JOINED) return;
  uint all = 0;
  [[unroll]] for (uint u = 0; u < UNROLL; ++u) {
    [[unroll]] for (uint i = 0; i < MATRICES; ++i) {
      [[unroll]] for (uint r = 0; r < ROWS; ++r) {
        [[unroll]] for (uint n = 0; n < UNITS; ++n) all |= raw[u][i][r].units[n].x;
        all |= floatBitsToUint(raw[u][i][r].scale);
      }
    }
  }
  [[unroll]] for (uint u = 0; u < UNROLL; ++u) {
    [[unroll]] for (uint i = 0; i < MATRICES; ++i) {
      [[unroll]] for (uint r = 0; r < ROWS; ++r) {
        [[unroll]] for (uint n = 0; n < UNITS; ++n) raw[u][i][r].units[n] |= all & nothing;
      }
    }
  }
}

/// Each token's activations meet all matrices before the next token's are loaded: a compiler that sees the same loads
/// for a second matrix keeps all of the first ones in registers.
void add_products(RawBlock raw[MATRICES][ROWS], FewInput x, uint block, inout float sums[MATRICES][ROWS][TOKENS]) {
  if (IS_PLAIN) {
    [[unroll]] for (uint t = 0; t < TOKENS; ++t) {
      [[unroll]] for (uint quad = 0; quad < 8; ++quad) {
        const vec4 four = uintBitsToFloat(x.x.v[((x.first_token + t) * x.blocks + block) * 8 + quad]);
        [[unroll]] for (uint i = 0; i < MATRICES; ++i) {
          [[unroll]] for (uint r = 0; r < ROWS; ++r) {
            sums[i][r][t] = add(sums[i][r][t], dot_product(unpack_plain(raw[i][r], quad), four));
          }
        }
      }
    }
  } else {
    ByteBlock bytes[MATRICES][ROWS];
    [[unroll]] for (uint i = 0; i < MATRICES; ++i) {
      [[unroll]] for (uint r = 0; r < ROWS; ++r) bytes[i][r] = unpack_bytes(raw[i][r], block);
    }
    [[unroll]] for (uint t = 0; t < TOKENS; ++t) {
      const uint at = (x.first_token + t) * x.blocks + block;
      const uvec4 low = x.x.v[2 * at], high = x.x.v[2 * at + 1];
      const vec2 pair = x.x_pairs.v[at];
      [[unroll]] for (uint i = 0; i < MATRICES; ++i) {
        [[unroll]] for (uint r = 0; r < ROWS; ++r) {
          sums[i][r][t] = add(sums[i][r][t], dot_block(bytes[i][r], low, high, pair));
        }
      }
    }
  }
}

/// Sums of this lane over its blocks of rows [row, row + ROWS) of each matrix.
void multiply_lane(WeightMatrix m[MATRICES], uint row, FewInput x, out float sums[MATRICES][ROWS][TOKENS]) {
  [[unroll]] for (uint i = 0; i < MATRICES; ++i) {
    [[unroll]] for (uint r = 0; r < ROWS; ++r) {
      [[unroll]] for (uint t = 0; t < TOKENS; ++t) sums[i][r][t] = 0;
    }
  }
  const uint stride = SPLIT * CLUSTER;
  uint block = (gl_SubgroupID % SPLIT) * CLUSTER + gl_SubgroupInvocationID % CLUSTER;
  for (; block + (UNROLL - 1) * stride < x.blocks; block += UNROLL * stride) {
    RawBlock raw[UNROLL][MATRICES][ROWS];
    [[unroll]] for (uint u = 0; u < UNROLL; ++u) {
      [[unroll]] for (uint i = 0; i < MATRICES; ++i) load_rows(m[i], row, block + u * stride, raw[u][i]);
    }
    join_loads(raw, x.nothing);
    [[unroll]] for (uint u = 0; u < UNROLL; ++u) {
      add_products(raw[u], x, block + u * stride, sums);
    }
  }
  if (UNROLL > 1) {
    for (; block < x.blocks; block += stride) {
      RawBlock raw[MATRICES][ROWS];
      [[unroll]] for (uint i = 0; i < MATRICES; ++i) load_rows(m[i], row, block, raw[i]);
      add_products(raw, x, block, sums);
    }
  }
}

float cluster_add(float value) {
  if (FIXED_ORDER) {
    for (uint mask = 1; mask < CLUSTER; mask <<= 1) value = add(value, subgroupShuffleXor(value, mask));
    return value;
  }
  if (CLUSTER == SUBGROUP) return subgroupAdd(value);
  if (CLUSTER == 16) return subgroupClusteredAdd(value, 16);
  if (CLUSTER == 32) return subgroupClusteredAdd(value, 32);
  return subgroupClusteredAdd(value, 8);
}

/// Adds up what the lanes of a cluster and the subgroups of a team have; `whole_sum` then reads the result. Contains a
/// barrier: call it from every thread.
void reduce_sums(float sums[MATRICES][ROWS][TOKENS]) {
  [[unroll]] for (uint i = 0; i < MATRICES; ++i) {
    [[unroll]] for (uint r = 0; r < ROWS; ++r) {
      [[unroll]] for (uint t = 0; t < TOKENS; ++t) {
        const float sum = cluster_add(sums[i][r][t]);
        // One lane for each value, so that they are stored together.
        if (gl_SubgroupInvocationID % CLUSTER == (t * ROWS + r) % CLUSTER) {
          const uint team = (i * SPLIT + gl_SubgroupID % SPLIT) * TOKENS + t;
          partial_sums[team * OUTPUTS + first_output() + r] = sum;
        }
      }
    }
  }
  barrier();
}

float whole_sum(uint matrix, uint token, uint place) {
  float sum = 0;
  [[unroll]] for (uint s = 0; s < SPLIT; ++s) {
    sum = add(sum, partial_sums[((matrix * SPLIT + s) * TOKENS + token) * OUTPUTS + place]);
  }
  return sum * BYTE_UNIT;
}
