#version 460
#extension GL_GOOGLE_include_directive : require
// CausalConvolution: a thread for each channel of a token. The state belongs to the thread of a sequence's first token,
// which reads it, runs all tokens that see it, and writes it; so it may be changed in place.
#include "common.glsl"
#include "recurrence_layout.h"
layout(constant_id = 2) const uint KERNEL = 4;
layout(constant_id = 3) const bool GATED = false;
layout(constant_id = 4) const bool HAS_BIAS = false;
layout(constant_id = 5) const bool SILU = false;

layout(push_constant) uniform Arguments { CausalConvolutionArguments a; };

const uint KEPT = KERNEL - 1;

uint place(uint row, uint channel) { return row * a.in_width + a.first + channel; }

float input_value(uint row, uint channel) {
  const uint at = place(row, channel);
  return GATED ? a.source.v[at] * a.source.v[at + 2 * a.channels] : a.source.v[at];
}

void main() {
  const uint row = gl_WorkGroupID.x;
  const uint channel = gl_WorkGroupID.y * THREADS + thread_index();
  if (row >= a.step.header.tokens || channel >= a.channels) return;
  const StateRun sequence = a.runs.run[a.run_numbers.v[row]];
  const uint index = row - sequence.first_row;
  if (index > 0 && index < KEPT) return;

  const uint state_row = a.state_first + channel;
  float seen[KERNEL];
  [[unroll]] for (uint j = 0; j < KEPT; ++j) {
    if (index > 0) {
      seen[j] = input_value(row + j - KEPT, channel);
    } else {
      seen[j] = sequence.from < 0 ? 0 : a.states.v[sequence.from * a.state_values + state_row + j * a.channels];
    }
  }
  const uint count = index > 0 ? 1 : min(KEPT, sequence.token_count);
  for (uint i = 0; i < count; ++i) {
    seen[KEPT] = input_value(row + i, channel);
    float sum = HAS_BIAS ? a.bias.v[channel] : 0;
    [[unroll]] for (uint j = 0; j < KERNEL; ++j) sum += a.weight.v[j * a.channels + channel] * seen[j];
    if (SILU) sum = sum / (1 + exp(-sum));
    if (GATED) sum *= a.source.v[place(row + i, channel) + a.channels];
    a.result.v[(row + i) * a.channels + channel] = sum;
    [[unroll]] for (uint j = 0; j < KEPT; ++j) seen[j] = seen[j + 1];
  }
  if (index > 0) return;
  [[unroll]] for (uint j = 0; j < KEPT; ++j) {
    if (sequence.token_count > KEPT) seen[j] = input_value(row + sequence.token_count - KEPT + j, channel);
    a.states.v[sequence.to * a.state_values + state_row + j * a.channels] = seen[j];
  }
}
