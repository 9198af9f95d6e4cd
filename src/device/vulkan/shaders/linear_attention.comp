#version 460
#extension GL_GOOGLE_include_directive : require
// LinearAttention: a workgroup takes some columns of one head's state through all tokens of a sequence. Columns know
// nothing of each other; four lanes of a subgroup share one, each with every fourth row of it in registers.
#include "common.glsl"
#include "recurrence_layout.h"
layout(constant_id = 2) const uint KEY_DIM = 128;
layout(constant_id = 3) const uint VALUE_DIM = 128;
layout(constant_id = 4) const bool DELTA = true;
layout(constant_id = 5) const bool HAS_SKIP = false;
layout(constant_id = 6) const bool KEY_HEADS_ALTERNATE = false;
layout(constant_id = 7) const bool RATES_BY_KEY_HEAD = false;

layout(push_constant) uniform Arguments { LinearAttentionArguments a; };

const uint LANES = kStateLanes;  ///< of a column
const uint COLUMNS = SUBGROUP / LANES;
const uint ROWS = (KEY_DIM + LANES - 1) / LANES;
const float kNormEpsilon = 1e-6;

/// Over the lanes of a column; addition commutes, so that all get the same bits.
float sum_of_column(float x) {
  x += subgroupShuffleXor(x, COLUMNS);
  return x + subgroupShuffleXor(x, 2 * COLUMNS);
}

/// ln(1 + e^x), to float32's accuracy where it is small.
float softplus(float x) {
  const float u = exp(-abs(x));
  const float near = u * (1 - u * (0.5 - u * (1.0 / 3 - u * 0.25)));
  return max(x, 0) + (u < 0.02 ? near : log(1 + u));
}

/// Where a head's b lies in its row of rates, and its a.
uvec2 rate_columns(uint head) {
  if (!RATES_BY_KEY_HEAD) return uvec2(a.b_first, a.a_first) + head;
  const uint of_key_head = a.heads / a.key_heads;
  const uint b = a.b_first + head / of_key_head * 2 * of_key_head + head % of_key_head;
  return uvec2(b, b + of_key_head);
}

void main() {
  const StateRun sequence = a.runs.run[gl_WorkGroupID.x];
  if (sequence.token_count == 0) return;
  const uint head = gl_WorkGroupID.y;
  const uint key_head = KEY_HEADS_ALTERNATE ? head % a.key_heads : head / (a.heads / a.key_heads);
  const uint subgroup = gl_WorkGroupID.z * (THREADS / SUBGROUP) + gl_SubgroupID;
  const uint wanted_column = subgroup * COLUMNS + gl_SubgroupInvocationID % COLUMNS;
  const bool is_real = wanted_column < VALUE_DIM;
  const uint column = is_real ? wanted_column : 0;  // others go along, so that whole subgroups add
  const uint lane = gl_SubgroupInvocationID / COLUMNS;

  const uint place = a.state_first + head * KEY_DIM * VALUE_DIM + column;
  float state[ROWS];
  [[unroll]] for (uint r = 0; r < ROWS; ++r) {
    const uint i = r * LANES + lane;
    state[r] = sequence.from >= 0 && i < KEY_DIM
                   ? a.states.v[sequence.from * a.state_values + place + i * VALUE_DIM] : 0;
  }

  const uvec2 rates_at = rate_columns(head);
  const float decay_rate = a.decay_rate.v[head], step_bias = a.step_bias.v[head];
  const float skip = HAS_SKIP ? a.skip.v[head] : 0;
  for (uint t = sequence.first_row; t < sequence.first_row + sequence.token_count; ++t) {
    const uint row = t * a.in_width;
    float q[ROWS], k[ROWS];
    [[unroll]] for (uint r = 0; r < ROWS; ++r) {
      const uint i = r * LANES + lane;
      q[r] = i < KEY_DIM ? a.source.v[row + a.q_first + key_head * KEY_DIM + i] : 0;
      k[r] = i < KEY_DIM ? a.source.v[row + a.k_first + key_head * KEY_DIM + i] : 0;
    }
    const float v = a.source.v[row + a.v_first + head * VALUE_DIM + column];
    const float time = max(softplus(a.rates.v[t * a.rates_width + rates_at.y] + step_bias), a.least_step);
    const float decay = exp(decay_rate * time);
    float added = time * v, q_factor = 1, k_factor = 1;
    if (DELTA) {
      float q_squares = 0, k_squares = 0, known = 0;
      [[unroll]] for (uint r = 0; r < ROWS; ++r) {
        q_squares += q[r] * q[r];
        k_squares += k[r] * k[r];
        known += k[r] * state[r];
      }
      q_factor = inversesqrt(sum_of_column(q_squares) + kNormEpsilon) * inversesqrt(float(KEY_DIM));
      k_factor = inversesqrt(sum_of_column(k_squares) + kNormEpsilon);
      const float beta = 1 / (1 + exp(-a.rates.v[t * a.rates_width + rates_at.x]));
      added = beta * (v - decay * k_factor * sum_of_column(known));
    }
    const float change = k_factor * added;
    float mixed = 0;
    [[unroll]] for (uint r = 0; r < ROWS; ++r) {
      state[r] = decay * state[r] + k[r] * change;
      mixed += q[r] * state[r];
    }
    mixed = sum_of_column(mixed) * q_factor + skip * v;
    if (is_real && lane == 0) a.result.v[(t * a.heads + head) * VALUE_DIM + column] = mixed;
  }

  if (!is_real) return;
  [[unroll]] for (uint r = 0; r < ROWS; ++r) {
    const uint i = r * LANES + lane;
    if (i < KEY_DIM) a.states.v[sequence.to * a.state_values + place + i * VALUE_DIM] = state[r];
  }
}
