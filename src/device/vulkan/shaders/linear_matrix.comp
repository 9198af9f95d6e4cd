#version 460
#extension GL_GOOGLE_include_directive : require
// Linear and Logits for many tokens on cooperative matrices of bytes, for weights in blocks.
#include "common.glsl"
const uint MATRICES = 1;
const bool FIXED_ORDER = false;
#include "matrix_tokens.glsl"
#include "linear_matrix.glsl"
