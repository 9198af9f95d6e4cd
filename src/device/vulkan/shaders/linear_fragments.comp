#version 460
#extension GL_GOOGLE_include_directive : require
// Linear and Logits on cooperative matrices of f16 filled in registers, for weights in blocks.
#include "common.glsl"
const uint MATRICES = 1;
layout(constant_id = 16) const uint FLAGS = 0;
layout(constant_id = 17) const bool LOGIT_ROWS = false;
#include "fragment_tokens.glsl"
const uint ACTIVATION = 0;
#include "activation.glsl"

layout(push_constant) uniform Arguments { LinearArguments a; };

void main() {
  const uint tokens = LOGIT_ROWS ? a.step.header.logit_rows : a.step.header.tokens;
  if (gl_WorkGroupID.x * TOKEN_TILES * N >= tokens) return;
  const uint padded_rows = (a.rows + kRowPadding - 1) / kRowPadding * kRowPadding;
  multiply_fragments(WeightMatrix[MATRICES](WeightMatrix(a.weight, a.blocks, padded_rows)), a.x);
  [[dont_unroll]] for (uint i = 0; i < STRIPS * TOKEN_TILES; ++i) {
    share_sums(i);
    barrier();
    for (uint e = thread_index(); e < ELEMENTS; e += THREADS) {
      const uint row = row_of(i, e), token = token_of(i, e);
      if (token >= tokens || row >= a.rows) continue;
      float value = whole_sum(0, e) * (a.scale * FloatsIn(a.x_pairs).v[token]);
      if ((FLAGS & kFlagBias) != 0) value += a.bias.v[a.first_row + row];
      if ((FLAGS & kFlagSoftcap) != 0) value = soft_cap(value, a.softcap);
      a.result.v[token * a.out_width + a.first_row + row] = value;
    }
    barrier();
  }
}
