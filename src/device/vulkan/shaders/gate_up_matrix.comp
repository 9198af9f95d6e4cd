#version 460
#extension GL_GOOGLE_include_directive : require
// GateUp for many tokens on cooperative matrices of bytes, for weights in blocks.
#include "common.glsl"
const uint MATRICES = 2;
const bool FIXED_ORDER = false;
#include "matrix_tokens.glsl"
#include "gate_up_matrix.glsl"
