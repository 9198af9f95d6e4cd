#version 460
#extension GL_GOOGLE_include_directive : require
// Linear and Logits for many tokens.
#include "common.glsl"
layout(constant_id = 7) const uint FLAGS = 0;
layout(constant_id = 8) const bool LOGIT_ROWS = false;
const bool FIXED_ORDER = false;
#include "many_tokens.glsl"
const uint ACTIVATION = 0;
#include "activation.glsl"

layout(push_constant) uniform Arguments { LinearArguments a; };

void main() {
  const uint tokens = LOGIT_ROWS ? a.step.header.logit_rows : a.step.header.tokens;
  ManyInput x = ManyInput(a.x, a.x_pairs, gl_WorkGroupID.y * TILE_TOKENS, tokens);
  if (x.first_token >= tokens) return;
  const uint first_row = gl_WorkGroupID.x * TILE_ROWS;
  const uint padded_rows = (a.rows + kRowPadding - 1) / kRowPadding * kRowPadding;
  WeightMatrix m = WeightMatrix(a.weight, a.blocks, padded_rows);
  const uvec2 place = uvec2(thread_index() % 16, thread_index() / 16);

  float sums[PER_THREAD_ROWS][PER_THREAD_TOKENS];
  [[unroll]] for (uint j = 0; j < PER_THREAD_ROWS; ++j) {
    [[unroll]] for (uint i = 0; i < PER_THREAD_TOKENS; ++i) sums[j][i] = 0;
  }
  for (uint block = 0; block < a.blocks; block += DEPTH) {
    stage_weights(m, first_row, 0, TILE_ROWS, block);
    stage_x(x, block, a.blocks);
    barrier();
    if (IS_PLAIN) {
      add_floats(place, sums);
    } else {
      add_bytes(place, sums);
    }
    barrier();
  }

  [[unroll]] for (uint i = 0; i < PER_THREAD_TOKENS; ++i) {
    const uint token = x.first_token + place.x + 16 * i;
    [[unroll]] for (uint j = 0; j < PER_THREAD_ROWS; ++j) {
      const uint row = first_row + place.y + 16 * j;
      if (token >= tokens || row >= a.rows) continue;
      float value = sums[j][i] * (a.scale * BYTE_UNIT);
      if ((FLAGS & kFlagBias) != 0) value += a.bias.v[a.first_row + row];
      if ((FLAGS & kFlagSoftcap) != 0) value = soft_cap(value, a.softcap);
      a.result.v[token * a.out_width + a.first_row + row] = value;
    }
  }
}
