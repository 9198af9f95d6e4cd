#pragma once

#include "device/cpu/kernels/vector_math.h"

namespace hearth::cpu {

// Layers that remember by a state. Every column is treated the same wherever it stands, sums in ascending order.

template <class S>
void convolve(const ConvolutionInput& in, size_t count, float* out) {
  using F = typename S::F;
  const auto each = [&](size_t i, auto&& load, auto&& store) __attribute__((always_inline)) {
    F sum = in.bias == nullptr ? S::zero() : load(in.bias + i);
    for (unsigned j = 0; j < in.kernel; ++j) {
      F x = load(in.rows[j] + i);
      if (in.gates[j] != nullptr) x = S::mul(x, load(in.gates[j] + i));
      sum = S::fma(load(in.weight + j * count + i), x, sum);
    }
    if (in.silu) sum = silu<S>(sum);
    if (in.after != nullptr) sum = S::mul(sum, load(in.after + i));
    store(out + i, sum);
  };
  for_vectors<S>(
      count,
      [&](size_t i) __attribute__((always_inline)) {
        each(
            i, [](const float* p) __attribute__((always_inline)) { return S::load(p); },
            [](float* p, F x) __attribute__((always_inline)) { S::store(p, x); });
      },
      [&](size_t i, unsigned n) __attribute__((always_inline)) {
        each(
            i, [n](const float* p) __attribute__((always_inline)) { return S::load_first(p, n); },
            [n](float* p, F x) __attribute__((always_inline)) { S::store_first(p, n, x); });
      });
}

/// kVectors vectors of columns from `column` on, as `load` and `store` take them.
template <class S, unsigned kVectors, class Load, class Store>
HEARTH_INLINE void update_columns(const StateInput& in, size_t column, float* out, Load&& load, Store&& store) {
  using F = typename S::F;
  float* const state = in.state + column;
  F known[kVectors], added[kVectors], mixed[kVectors];
#pragma GCC unroll 4
  for (unsigned n = 0; n < kVectors; ++n) known[n] = mixed[n] = S::zero();
  if (in.delta) {
    for (size_t i = 0; i < in.key_dim; ++i) {
      const F k = S::set(in.k[i]);
#pragma GCC unroll 4
      for (unsigned n = 0; n < kVectors; ++n) {
        known[n] = S::fma(k, load(state + i * in.value_dim + n * S::kLanes), known[n]);
      }
    }
  }
  const F decay = S::set(in.decay), strength = S::set(in.strength);
#pragma GCC unroll 4
  for (unsigned n = 0; n < kVectors; ++n) {
    const F v = load(in.v + column + n * S::kLanes);
    added[n] = S::mul(strength, in.delta ? S::sub(v, S::mul(decay, known[n])) : v);
  }
  for (size_t i = 0; i < in.key_dim; ++i) {
    const F k = S::set(in.k[i]), q = S::set(in.q[i]);
#pragma GCC unroll 4
    for (unsigned n = 0; n < kVectors; ++n) {
      float* const at = state + i * in.value_dim + n * S::kLanes;
      const F s = S::fma(k, added[n], S::mul(decay, load(at)));
      store(at, s);
      mixed[n] = S::fma(q, s, mixed[n]);
    }
  }
#pragma GCC unroll 4
  for (unsigned n = 0; n < kVectors; ++n) {
    const size_t at = column + n * S::kLanes;
    store(out + at, S::fma(S::set(in.skip), load(in.v + at), mixed[n]));
  }
}

template <class S>
void update_state(const StateInput& in, float* out) {
  using F = typename S::F;
  constexpr unsigned kVectors = 4;
  const auto load = [](const float* p) __attribute__((always_inline)) { return S::load(p); };
  const auto store = [](float* p, F x) __attribute__((always_inline)) { S::store(p, x); };
  size_t column = 0;
  for (; column + kVectors * S::kLanes <= in.value_dim; column += kVectors * S::kLanes) {
    update_columns<S, kVectors>(in, column, out, load, store);
  }
  for (; column + S::kLanes <= in.value_dim; column += S::kLanes) update_columns<S, 1>(in, column, out, load, store);
  if (column == in.value_dim) return;
  const auto left = static_cast<unsigned>(in.value_dim - column);
  update_columns<S, 1>(
      in, column, out, [left](const float* p) __attribute__((always_inline)) { return S::load_first(p, left); },
      [left](float* p, F x) __attribute__((always_inline)) { S::store_first(p, left, x); });
}

}  // namespace hearth::cpu
