#version 460
#extension GL_GOOGLE_include_directive : require
// Linear and Logits on cooperative matrices of f16 filled in registers, for weights in blocks.
#include "common.glsl"
const uint MATRICES = 1;
layout(constant_id = 19) const uint FLAGS = 0;
layout(constant_id = 20) const bool LOGIT_ROWS = false;
#include "fragment_tokens.glsl"
const uint ACTIVATION = 0;
#include "activation.glsl"

layout(push_constant) uniform Arguments { LinearArguments a; };

void main() {
  const uint tokens = LOGIT_ROWS ? a.step.header.logit_rows : a.step.header.tokens;
  if (gl_WorkGroupID.x * TOKEN_TILES * N >= tokens) return;
  const uint padded_rows = (a.rows + kRowPadding - 1) / kRowPadding * kRowPadding;
  multiply_fragments(WeightMatrix[MATRICES](WeightMatrix(a.weight, a.blocks, padded_rows)), a.x,
                     float[MATRICES](a.unit), a.rows >> 31);
  const bool aligned = (a.rows | a.first_row | a.out_width) % 4 == 0;
  [[dont_unroll]] for (uint i = 0; i < STRIPS * TOKEN_TILES; ++i) {
    share_sums(i);
    barrier();
    for (uint r = thread_index(); r < RESULTS; r += THREADS) {
      const uint row = row_of(i, r), token = token_of(i, r);
      if (token >= tokens || row >= a.rows) continue;
      vec4 value = whole_sums(0, r) * (a.scale * a.unit * FloatsIn(a.x_pairs).v[token]);
      [[unroll]] for (uint n = 0; n < WIDTH; ++n) {
        if ((FLAGS & kFlagBias) != 0) value[n] += a.bias.v[a.first_row + min(row + n, a.rows - 1)];
        if ((FLAGS & kFlagSoftcap) != 0) value[n] = soft_cap(value[n], a.softcap);
      }
      store_values(a.result, token * a.out_width + a.first_row + row, a.rows - row, aligned, value);
    }
    barrier();
  }
}
