#version 460
// Uses each extension that hearth's kernels build on: `tools/setup --verify` compiles and validates it.
#extension GL_KHR_cooperative_matrix : require
#extension GL_NV_cooperative_matrix2 : require
#extension GL_KHR_memory_scope_semantics : require
#extension GL_EXT_buffer_reference : require
#extension GL_EXT_integer_dot_product : require
#extension GL_EXT_shader_explicit_arithmetic_types : require

layout(local_size_x = 32) in;
layout(buffer_reference, std430, buffer_reference_align = 16) buffer Sums { int sum[]; };
layout(push_constant) uniform Arguments { Sums sums; };

void main() {
  coopmat<float16_t, gl_ScopeSubgroup, 16, 16, gl_MatrixUseAccumulator> tile =
      coopmat<float16_t, gl_ScopeSubgroup, 16, 16, gl_MatrixUseAccumulator>(float16_t(0));
  sums.sum[gl_LocalInvocationIndex] = dotPacked4x8EXT(0x01020304, 0x04030201) + tile.length();
}
