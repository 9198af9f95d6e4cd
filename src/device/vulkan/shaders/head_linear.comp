#version 460
#extension GL_GOOGLE_include_directive : require
// HeadLinear in float32: a workgroup takes some rows of one head for a few tokens, whose shares it holds in shared memory.
// CLUSTER lanes take turns along ROWS rows, so that each weight and each activation is loaded once for several products.
#include "common.glsl"
#include "latent_layout.h"
layout(constant_id = 2) const uint ENCODING = 1;
layout(constant_id = 3) const uint BLOCKS = 4;   ///< of a row of weights
layout(constant_id = 4) const uint TOKENS = 1;   ///< of a workgroup
layout(constant_id = 5) const uint CLUSTER = 4;  ///< a power of two
layout(constant_id = 6) const uint ROWS = 2;
layout(constant_id = 7) const bool LOGIT_ROWS = false;
const bool FIXED_ORDER = false;
#include "weights.glsl"

layout(push_constant) uniform Arguments { HeadLinearArguments a; };

const uint CLUSTERS = SUBGROUP / CLUSTER;
const uint OUTPUTS = THREADS / SUBGROUP * CLUSTERS * ROWS;
/// Of a block in shared memory, in quads: lanes at neighbouring blocks then read from different banks.
const uint BLOCK_QUADS = kBlockValues / 4 + 1;

shared vec4 shares[TOKENS * BLOCKS * BLOCK_QUADS];

/// Columns that the weights do not have are zeros there, but what lies behind a share may be no number.
void load_shares(uint head, uint first_token, uint tokens) {
  const uint quads = BLOCKS * kBlockValues / 4;
  for (uint i = thread_index(); i < TOKENS * quads; i += THREADS) {
    const uint token = min(first_token + i / quads, tokens - 1), quad = i % quads;
    const uint from = token * a.in_width + head * a.in_share + 4 * quad;
    vec4 values;
    [[unroll]] for (uint v = 0; v < 4; ++v) values[v] = 4 * quad + v < a.columns ? a.x.v[from + v] : 0;
    shares[(i / quads * BLOCKS + quad / 8) * BLOCK_QUADS + quad % 8] = values;
  }
  barrier();
}

void main() {
  const uint tokens = LOGIT_ROWS ? a.step.header.logit_rows : a.step.header.tokens;
  const uint first_token = gl_WorkGroupID.x * TOKENS;
  if (first_token >= tokens) return;
  const uint head = a.first_head + gl_WorkGroupID.z;
  load_shares(head, first_token, tokens);

  const uint lane = gl_SubgroupInvocationID % CLUSTER;
  const uint first =
      gl_WorkGroupID.y * OUTPUTS + (gl_SubgroupID * CLUSTERS + gl_SubgroupInvocationID / CLUSTER) * ROWS;
  WeightMatrix m = WeightMatrix(a.weight, BLOCKS, a.padded_rows);
  float sums[ROWS * TOKENS];
  [[unroll]] for (uint i = 0; i < ROWS * TOKENS; ++i) sums[i] = 0;
  for (uint block = lane; block < BLOCKS; block += CLUSTER) {
    RawBlock raw[ROWS];
    ByteBlock bytes[ROWS];
    [[unroll]] for (uint r = 0; r < ROWS; ++r) {
      raw[r] = load_block(m, gl_WorkGroupID.z * a.outputs + min(first + r, a.outputs - 1), block);
      if (!IS_PLAIN) bytes[r] = unpack_bytes(raw[r], block);
    }
    [[unroll]] for (uint quad = 0; quad < 8; ++quad) {
      vec4 weights[ROWS];
      [[unroll]] for (uint r = 0; r < ROWS; ++r) {
        if (IS_PLAIN) {
          weights[r] = unpack_plain(raw[r], quad);
        } else {
          weights[r] = bytes_to_floats(bytes[r], quad);
        }
      }
      [[unroll]] for (uint t = 0; t < TOKENS; ++t) {
        const vec4 values = shares[(t * BLOCKS + block) * BLOCK_QUADS + quad];
        [[unroll]] for (uint r = 0; r < ROWS; ++r) sums[t * ROWS + r] += dot(weights[r], values);
      }
    }
  }
  [[unroll]] for (uint i = 0; i < ROWS * TOKENS; ++i) {
    for (uint mask = 1; mask < CLUSTER; mask <<= 1) sums[i] += subgroupShuffleXor(sums[i], mask);
    const uint token = first_token + i / ROWS, row = first + i % ROWS;
    // One lane for each value.
    if (lane == i % CLUSTER && token < tokens && row < a.outputs) {
      a.result.v[token * a.out_width + head * a.out_share + row] = sums[i];
    }
  }
}
