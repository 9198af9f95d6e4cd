#version 460
#extension GL_GOOGLE_include_directive : require
// GateUp for many tokens on cooperative matrices of f16, for weights in f16 and bf16.
#include "common.glsl"
const uint MATRICES = 2;
const uint HALVES = 2;
const bool FIXED_ORDER = false;
#include "half_matrix_tokens.glsl"
#include "gate_up_matrix.glsl"
