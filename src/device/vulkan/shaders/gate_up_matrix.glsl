// main of GateUp for many tokens on cooperative matrices of either kind: gate and up of an output are the same element of
// two matrices of one subgroup.
layout(constant_id = 12) const uint ACTIVATION = 0;
layout(constant_id = 13) const bool LOGIT_ROWS = false;
#include "activation.glsl"

layout(push_constant) uniform Arguments { GateUpArguments a; };

/// Nobody knows which element a lane holds of a matrix, so biases are added where the sums lie as rows: the gates' results
/// wait in the output for the ups, which the same lanes write.
void write_tile_with_bias(uint first_row, MatrixInput x, Part part, Sums sums[TILES]) {
  const uint mine = gl_SubgroupID * M * N;  // of scratch
  [[unroll]] for (uint i = 0; i < TILES / 2; ++i) {
    [[unroll]] for (uint matrix = 0; matrix < 2; ++matrix) {
      coopMatStore(sums[i + matrix * (TILES / 2)], scratch, mine, M, gl_CooperativeMatrixLayoutColumnMajor);
      subgroupBarrier();
      for (uint e = gl_SubgroupInvocationID; e < M * N; e += SUBGROUP) {
        const uint row = first_row + part.row / 2 + i / TOKEN_TILES * M + e % M;
        const uint token = x.first_token + part.token + i % TOKEN_TILES * N + e / M;
        if (token >= x.tokens || row >= a.rows || !has_result()) continue;
        const float value = scratch[mine + e] * BYTE_UNIT + a.bias.v[matrix * a.rows + row];
        const uint at = token * a.rows + row;
        a.result.v[at] = matrix == 0 ? activate(value) : a.result.v[at] * value;
      }
      subgroupBarrier();
    }
  }
}

void write_tile(uint first_row, MatrixInput x, Part part, Sums sums[TILES]) {
  const uint mine = gl_SubgroupID * M * N;  // of scratch
  [[unroll]] for (uint i = 0; i < TILES / 2; ++i) {
    Sums value = sums[i];
    [[unroll]] for (uint e = 0; e < value.length(); ++e) {
      value[e] = activate(value[e] * BYTE_UNIT) * (sums[i + TILES / 2][e] * BYTE_UNIT);
    }
    coopMatStore(value, scratch, mine, M, gl_CooperativeMatrixLayoutColumnMajor);
    subgroupBarrier();
    for (uint e = gl_SubgroupInvocationID; e < M * N; e += SUBGROUP) {
      const uint row = first_row + part.row / 2 + i / TOKEN_TILES * M + e % M;
      const uint token = x.first_token + part.token + i % TOKEN_TILES * N + e / M;
      if (token < x.tokens && row < a.rows && has_result()) a.result.v[token * a.rows + row] = scratch[mine + e];
    }
    subgroupBarrier();
  }
}

void main() {
  const uint tokens = LOGIT_ROWS ? a.step.header.logit_rows : a.step.header.tokens;
  MatrixInput x = MatrixInput(a.x, a.x_pairs, gl_WorkGroupID.x * TILE_TOKENS, tokens, a.blocks);
  if (x.first_token >= tokens) return;
  const uint padded_rows = (a.rows + kRowPadding - 1) / kRowPadding * kRowPadding;
  WeightMatrix m[MATRICES] = WeightMatrix[MATRICES](WeightMatrix(a.gate, a.blocks, padded_rows),
                                                    WeightMatrix(a.up, a.blocks, padded_rows));
  const uint first_row = gl_WorkGroupID.y * (TILE_ROWS / 2);
  const Part part = my_part();
  Sums sums[TILES];
  multiply_tile(m, first_row, x, part, sums);
  if (HAS_BIAS) {
    write_tile_with_bias(first_row, x, part, sums);
  } else {
    write_tile(first_row, x, part, sums);
  }
}
