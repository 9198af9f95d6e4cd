#version 460
#extension GL_GOOGLE_include_directive : require
// Linear and Logits for 1 to 16 tokens.
#include "common.glsl"
layout(constant_id = 8) const uint FLAGS = 0;
#define STORE_RESULT(reference, index, value) reference.v[index] = value
#include "linear_few.glsl"

layout(push_constant) uniform Arguments { LinearArguments a; };

void main() { multiply_rows(a); }
