#version 460
#extension GL_GOOGLE_include_directive : require
// GateUp for many tokens on cooperative matrices of f16, for weights in blocks.
#include "common.glsl"
const uint MATRICES = 2;
const uint HALVES = 1;
const bool FIXED_ORDER = false;
#define DECODE_BLOCKS
#include "half_matrix_tokens.glsl"
#include "gate_up_matrix.glsl"
