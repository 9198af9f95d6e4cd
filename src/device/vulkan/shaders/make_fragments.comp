#version 460
#extension GL_GOOGLE_include_directive : require
// Rows in blocks of signed bytes as f16, in the order in which lanes hold them as cooperative matrices (fragment_tokens.glsl): of
// each tile of N tokens [groups of blocks][pieces][lanes] of eight halves. A power of two for each token keeps all within f16's
// range. Workgroups x share tiles, y what there is of one.
#include "common.glsl"
layout(constant_id = 2) const bool LOGIT_ROWS = false;
layout(constant_id = 3) const uint N = 16;
layout(constant_id = 4) const uint K = 16;
layout(constant_id = 5) const uint CLASSES = 4;      ///< blocks that a matrix has a part of
layout(constant_id = 6) const uint X_LANES = 32;     ///< with different elements
layout(constant_id = 7) const uint B_LANE = 0;       ///< fragment_layout.glsl
layout(constant_id = 8) const uint B_COMPONENT = 0;
#include "fragment_layout.glsl"
#include "halves.glsl"

const uint POSITIONS = K / CLASSES;
const uint COMPONENTS = K * N / X_LANES;
const uint PIECES = 32 / POSITIONS * COMPONENTS / 8;
const uint SUBGROUPS = THREADS / SUBGROUP;

layout(push_constant) uniform Arguments { HalveBytesArguments a; };

shared float powers[N];

/// A subgroup for a token: an upper bound of the row's values.
void find_powers(uint first_token, uint tokens, uint blocks) {
  for (uint t = gl_SubgroupID; t < N; t += SUBGROUPS) {
    const uint row = (min(first_token + t, tokens - 1)) * blocks;
    float largest = 0;
    for (uint block = gl_SubgroupInvocationID; block < blocks; block += SUBGROUP) {
      largest = max(largest, a.pairs.v[row + block].x);
    }
    const float power = power_for(subgroupMax(largest) * 127);
    if (gl_SubgroupInvocationID != 0) continue;
    powers[t] = power;
    if (gl_WorkGroupID.y == 0 && first_token + t < tokens) a.scales.v[first_token + t] = inverse_of_power(power);
  }
}

/// Half `h` of a lane's part of a group; 0 behind the row's end, so that whatever weight meets it adds nothing.
float value(uint first_token, uint tokens, uint blocks, uint group, uint lane, uint h) {
  const uint tile = h / COMPONENTS, component = h % COMPONENTS;
  const uint token = held(B_LANE, lane, IN_ROW) | held(B_COMPONENT, component, IN_ROW);
  const uint block = group * CLASSES + (held(B_LANE, lane, IN_CLASS) | held(B_COMPONENT, component, IN_CLASS));
  const uint position = held(B_LANE, lane, IN_POSITION) | held(B_COMPONENT, component, IN_POSITION);
  const uint at = value_of_order(tile * POSITIONS + position);
  const uint row = min(first_token + token, tokens - 1), index = row * blocks + min(block, blocks - 1);
  const int word = int(UintsIn(a.quants).v[index * 8 + at / 4]);
  const float scale = block < blocks ? a.pairs.v[index].x * powers[token] : 0;
  return float(bitfieldExtract(word, int(at % 4 * 8), 8)) * scale;
}

void main() {
  const uint tokens = LOGIT_ROWS ? a.step.header.logit_rows : a.step.header.tokens;
  const uint first_token = gl_WorkGroupID.x * N, blocks = a.width / 32;
  if (first_token >= tokens) return;
  find_powers(first_token, tokens, blocks);
  barrier();
  const uint all = (blocks + CLASSES - 1) / CLASSES * PIECES * X_LANES;
  const uint begin = gl_WorkGroupID.y * THREADS * kFragmentPieces + thread_index();
  [[unroll]] for (uint p = 0; p < kFragmentPieces; ++p) {
    const uint i = begin + p * THREADS;
    if (i >= all) continue;
    const uint lane = i % X_LANES, piece = i / X_LANES % PIECES, group = i / (X_LANES * PIECES);
    uvec4 eight;
    [[unroll]] for (uint w = 0; w < 4; ++w) {
      const uint h = piece * 8 + 2 * w;
      eight[w] = packHalf2x16(vec2(value(first_token, tokens, blocks, group, lane, h),
                                   value(first_token, tokens, blocks, group, lane, h + 1)));
    }
    a.halves.v[gl_WorkGroupID.x * all + i] = eight;
  }
}
