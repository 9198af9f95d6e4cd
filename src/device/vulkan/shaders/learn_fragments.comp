#version 460
#extension GL_GOOGLE_include_directive : require
// Writes down which lane holds which element of matrices A and B of f16: both are loaded with their elements' own places,
// row * width + column. One subgroup. And whether this device's halves keep subnormal numbers, as operands and results of
// arithmetic and in matrices: fragment_tokens.glsl decodes weights by way of them.
#include "common.glsl"
#extension GL_KHR_cooperative_matrix : require
#extension GL_EXT_shader_explicit_arithmetic_types_float16 : require
layout(constant_id = 2) const uint M = 16;
layout(constant_id = 3) const uint N = 16;
layout(constant_id = 4) const uint K = 16;

shared uvec4 places[kMostFragmentElements / 8];

layout(push_constant) uniform Arguments { LearnFragmentsArguments a; };

/// 513 times the smallest half, and the number that its products with 1024 add up to.
bool keeps_subnormal_numbers() {
  const f16vec2 small = unpackFloat2x16(0x00010001u + gl_WorkGroupID.x);  // 0, which no compiler knows
  const f16vec2 sum = fma(small, f16vec2(512), small);
  coopmat<float16_t, gl_ScopeSubgroup, M, K, gl_MatrixUseA> weights =
      coopmat<float16_t, gl_ScopeSubgroup, M, K, gl_MatrixUseA>(sum.x);
  coopmat<float16_t, gl_ScopeSubgroup, K, N, gl_MatrixUseB> tokens =
      coopmat<float16_t, gl_ScopeSubgroup, K, N, gl_MatrixUseB>(float16_t(1024));
  coopmat<float, gl_ScopeSubgroup, M, N, gl_MatrixUseAccumulator> sums =
      coopmat<float, gl_ScopeSubgroup, M, N, gl_MatrixUseAccumulator>(0);
  sums = coopMatMulAdd(weights, tokens, sums);
  return packFloat2x16(sum) == 0x02010201u && sums[0] == float(K) * 513 / 16384;
}

void main() {
  for (uint i = thread_index(); i < kMostFragmentElements / 8; i += THREADS) {
    uvec4 eight;
    [[unroll]] for (uint w = 0; w < 4; ++w) eight[w] = packHalf2x16(vec2(8 * i + 2 * w, 8 * i + 2 * w + 1));
    places[i] = eight;
  }
  barrier();
  coopmat<float16_t, gl_ScopeSubgroup, M, K, gl_MatrixUseA> weights;
  coopmat<float16_t, gl_ScopeSubgroup, K, N, gl_MatrixUseB> tokens;
  coopMatLoad(weights, places, 0, K / 8, gl_CooperativeMatrixLayoutRowMajor);
  coopMatLoad(tokens, places, 0, N / 8, gl_CooperativeMatrixLayoutRowMajor);
  const uint mine = gl_SubgroupInvocationID * kMostFragmentComponents;
  const uint second = kMostFragmentLanes * kMostFragmentComponents;
  [[unroll]] for (uint i = 0; i < weights.length() && i < kMostFragmentComponents; ++i) {
    a.result.v[mine + i] = uint(float(weights[i]));
  }
  [[unroll]] for (uint i = 0; i < tokens.length() && i < kMostFragmentComponents; ++i) {
    a.result.v[second + mine + i] = uint(float(tokens[i]));
  }
  const bool keeps = keeps_subnormal_numbers();
  if (gl_SubgroupInvocationID == 0) {
    a.result.v[2 * second] = weights.length();
    a.result.v[2 * second + 1] = tokens.length();
    a.result.v[2 * second + 2] = keeps ? 1 : 0;
  }
}
