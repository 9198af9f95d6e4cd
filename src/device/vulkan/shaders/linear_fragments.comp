#version 460
#extension GL_GOOGLE_include_directive : require
// Linear and Logits on cooperative matrices of f16 filled in registers, for weights in blocks.
#include "common.glsl"
const uint MATRICES = 1;
layout(constant_id = 20) const uint FLAGS = 0;
layout(constant_id = 21) const bool LOGIT_ROWS = false;
#include "fragment_tokens.glsl"
const uint ACTIVATION = 0;
#include "activation.glsl"
#include "last_workgroup.glsl"

layout(push_constant) uniform Arguments { LinearArguments a; };

// Of rows that several workgroups share: [their tile][share][strip and tile of tokens][result] of WIDTH values.

uint tile_index() { return gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x; }
uint partial_place(uint share, uint strip_and_tile, uint result) {
  return ((tile_index() * SHARES + share) * STRIPS * TOKEN_TILES + strip_and_tile) * RESULTS + result;
}

void store_partial(uint place, vec4 value) {
  if (WIDTH == 4) {
    PartialQuads(a.partials).v[place] = value;
  } else {
    a.partials.v[place] = value.x;
  }
}

vec4 sum_of_shares(uint strip_and_tile, uint result) {
  vec4 sum = vec4(0);
  [[unroll]] for (uint share = 0; share < SHARES; ++share) {
    const uint place = partial_place(share, strip_and_tile, result);
    if (WIDTH == 4) {
      sum += PartialQuads(a.partials).v[place];
    } else {
      sum.x += a.partials.v[place];
    }
  }
  return sum;
}

bool exists(uint strip_and_tile, uint result, uint tokens) {
  return token_of(strip_and_tile, result) < tokens && row_of(strip_and_tile, result) < a.rows;
}

void store_results(uint strip_and_tile, uint result, vec4 sum) {
  const uint row = row_of(strip_and_tile, result), token = token_of(strip_and_tile, result);
  vec4 value = sum * (a.scale * a.unit * FloatsIn(a.x_pairs).v[token]);
  [[unroll]] for (uint n = 0; n < WIDTH; ++n) {
    if ((FLAGS & kFlagBias) != 0) value[n] += a.bias.v[a.first_row + min(row + n, a.rows - 1)];
    if ((FLAGS & kFlagSoftcap) != 0) value[n] = soft_cap(value[n], a.softcap);
  }
  const bool aligned = (a.rows | a.first_row | a.out_width) % 4 == 0;
  store_values(a.result, token * a.out_width + a.first_row + row, a.rows - row, aligned, value);
}

void main() {
  const uint tokens = LOGIT_ROWS ? a.step.header.logit_rows : a.step.header.tokens;
  if (gl_WorkGroupID.x * TOKEN_TILES * N >= tokens) return;
  const uint padded_rows = (a.rows + kRowPadding - 1) / kRowPadding * kRowPadding;
  multiply_fragments(WeightMatrix[MATRICES](WeightMatrix(a.weight, a.blocks, padded_rows)), a.x,
                     float[MATRICES](a.unit), a.rows >> 31);
  [[dont_unroll]] for (uint i = 0; i < STRIPS * TOKEN_TILES; ++i) {
    share_sums(i);
    barrier();
    for (uint r = thread_index(); r < RESULTS; r += THREADS) {
      if (!exists(i, r, tokens)) continue;
      const vec4 sum = whole_sums(0, r);
      if (SHARES > 1) {
        store_partial(partial_place(gl_WorkGroupID.z, i, r), sum);
      } else {
        store_results(i, r, sum);
      }
    }
    barrier();
  }
  if (SHARES == 1 || !is_last(a.counters, tile_index(), SHARES)) return;
  for (uint i = thread_index(); i < STRIPS * TOKEN_TILES * RESULTS; i += THREADS) {
    const uint strip_and_tile = i / RESULTS, result = i % RESULTS;
    if (exists(strip_and_tile, result, tokens)) {
      store_results(strip_and_tile, result, sum_of_shares(strip_and_tile, result));
    }
  }
}
