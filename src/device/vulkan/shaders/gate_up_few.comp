#version 460
#extension GL_GOOGLE_include_directive : require
// GateUp for 1 to 16 tokens: a workgroup computes whole blocks of 32 outputs, so that it can quantise them itself.
#include "common.glsl"
layout(constant_id = 7) const uint ACTIVATION = 0;
layout(constant_id = 8) const bool QUANTIZED_RESULT = true;
#include "few_tokens.glsl"
#include "activation.glsl"
#include "quantize.glsl"

layout(push_constant) uniform Arguments { GateUpArguments a; };

const uint OUTPUTS = TEAMS * ROWS;  ///< of a workgroup; a multiple of 32 when QUANTIZED_RESULT
shared vec4 outputs[QUANTIZED_RESULT ? TOKENS * OUTPUTS / 4 : 1];

void main() {
  const uint row = (gl_WorkGroupID.x * TEAMS + gl_SubgroupID / SPLIT) * ROWS;
  const uint padded_rows = (a.rows + kRowPadding - 1) / kRowPadding * kRowPadding;
  const uint safe_row = min(row, padded_rows - ROWS);
  FewInput x = FewInput(a.x, a.x_pairs, a.blocks);
  float gate[ROWS][TOKENS];
  multiply_lane(WeightMatrix(a.gate, a.blocks, padded_rows), safe_row, x, gate);
  reduce_sums(gate);
  if (SPLIT > 1) barrier();
  float up[ROWS][TOKENS];
  multiply_lane(WeightMatrix(a.up, a.blocks, padded_rows), safe_row, x, up);
  reduce_sums(up);

  if (gl_SubgroupID % SPLIT == 0) {
    [[unroll]] for (uint r = 0; r < ROWS; ++r) {
      [[unroll]] for (uint t = 0; t < TOKENS; ++t) {
        if (gl_SubgroupInvocationID != (t * ROWS + r) % SUBGROUP || row + r >= a.rows) continue;
        const float value = activate(gate[r][t]) * up[r][t];
        if (QUANTIZED_RESULT) {
          const uint place = t * OUTPUTS + gl_SubgroupID / SPLIT * ROWS + r;
          outputs[place / 4][place % 4] = value;
        } else {
          a.result.v[t * a.rows + row + r] = value;
        }
      }
    }
  }
  if (!QUANTIZED_RESULT) return;
  barrier();
  const uint first = gl_WorkGroupID.x * OUTPUTS;
  const uint quads = TOKENS * OUTPUTS / 4;
  for (uint i = thread_index(); i < (quads + SUBGROUP - 1) / SUBGROUP * SUBGROUP; i += THREADS) {
    const uint quad = min(i, quads - 1);  // whole clusters of eight are inside or outside
    vec2 pair;
    const uint bytes = quantize_quad(outputs[quad], pair);
    const uint t = quad / (OUTPUTS / 4);
    const uint at = first + quad % (OUTPUTS / 4) * 4;
    if (i >= quads || at >= a.rows) continue;
    a.result_quants.v[(t * a.rows + at) / 4] = bytes;
    if (at % 32 == 0) a.result_pairs.v[(t * a.rows + at) / 32] = pair;
  }
}
