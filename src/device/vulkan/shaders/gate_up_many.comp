#version 460
#extension GL_GOOGLE_include_directive : require
// GateUp for many tokens: tile rows 0-31 are gate rows, 32-63 the up rows of the same outputs, so that a thread's rows
// y, y + 16 are the gates of y + 32, y + 48.
#include "common.glsl"
layout(constant_id = 7) const uint ACTIVATION = 0;
layout(constant_id = 8) const bool LOGIT_ROWS = false;
const bool FIXED_ORDER = false;
#include "many_tokens.glsl"
#include "activation.glsl"

layout(push_constant) uniform Arguments { GateUpArguments a; };

void main() {
  const uint tokens = LOGIT_ROWS ? a.step.header.logit_rows : a.step.header.tokens;
  ManyInput x = ManyInput(a.x, a.x_pairs, gl_WorkGroupID.y * TILE_TOKENS, tokens);
  if (x.first_token >= tokens) return;
  const uint first_row = gl_WorkGroupID.x * (TILE_ROWS / 2);
  const uint padded_rows = (a.rows + kRowPadding - 1) / kRowPadding * kRowPadding;
  const uvec2 place = uvec2(thread_index() % 16, thread_index() / 16);

  float sums[PER_THREAD_ROWS][PER_THREAD_TOKENS];
  [[unroll]] for (uint j = 0; j < PER_THREAD_ROWS; ++j) {
    [[unroll]] for (uint i = 0; i < PER_THREAD_TOKENS; ++i) sums[j][i] = 0;
  }
  for (uint block = 0; block < a.blocks; block += DEPTH) {
    stage_weights(WeightMatrix(a.gate, a.blocks, padded_rows), first_row, 0, TILE_ROWS / 2, block);
    stage_weights(WeightMatrix(a.up, a.blocks, padded_rows), first_row, TILE_ROWS / 2, TILE_ROWS / 2, block);
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
    [[unroll]] for (uint j = 0; j < PER_THREAD_ROWS / 2; ++j) {
      const uint row = first_row + place.y + 16 * j;
      if (token >= tokens || row >= a.rows) continue;
      float gate = sums[j][i] * BYTE_UNIT, up = sums[j + PER_THREAD_ROWS / 2][i] * BYTE_UNIT;
      if (HAS_BIAS) {
        gate += a.bias.v[row];
        up += a.bias.v[a.rows + row];
      }
      a.result.v[token * a.rows + row] = activate(gate) * up;
    }
  }
}
