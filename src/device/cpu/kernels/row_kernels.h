#pragma once

#include "device/cpu/kernels/vector_math.h"

namespace hearth::cpu {

// Elementwise work on rows of activations. Every function treats an element the same wherever it stands.

template <class S>
void activate(Activation activation, const float* gate, const float* up, float* out, size_t count) {
  using F = typename S::F;
  switch (activation) {
    case Activation::silu:
      return map2<S>(
          gate, up, out, count, [](F g, F u) __attribute__((always_inline)) { return S::mul(silu<S>(g), u); });
    case Activation::gelu:
      return map2<S>(
          gate, up, out, count, [](F g, F u) __attribute__((always_inline)) { return S::mul(gelu<S>(g), u); });
    case Activation::gelu_tanh:
      return map2<S>(
          gate, up, out, count, [](F g, F u) __attribute__((always_inline)) { return S::mul(gelu_tanh<S>(g), u); });
    case Activation::quick_gelu:
      return map2<S>(
          gate, up, out, count, [](F g, F u) __attribute__((always_inline)) { return S::mul(quick_gelu<S>(g), u); });
    case Activation::relu:
      return map2<S>(
          gate, up, out, count, [](F g, F u) __attribute__((always_inline)) { return S::mul(relu<S>(g), u); });
    case Activation::relu_squared:
      return map2<S>(
          gate, up, out, count, [](F g, F u) __attribute__((always_inline)) { return S::mul(relu_squared<S>(g), u); });
    case Activation::xielu:
      return;  // gates nothing (device/operation.h)
    case Activation::sigmoid:
      return map2<S>(
          gate, up, out, count, [](F g, F u) __attribute__((always_inline)) { return S::mul(sigmoid<S>(g), u); });
  }
}

template <class S>
void activate_alone(Activation activation, const Xielu& parameters, const float* x, float* out, size_t count) {
  using F = typename S::F;
  const auto each = [&](auto&& f) { map<S>(x, out, count, f); };
  switch (activation) {
    case Activation::silu:
      return each([](F v) __attribute__((always_inline)) { return silu<S>(v); });
    case Activation::gelu:
      return each([](F v) __attribute__((always_inline)) { return gelu<S>(v); });
    case Activation::gelu_tanh:
      return each([](F v) __attribute__((always_inline)) { return gelu_tanh<S>(v); });
    case Activation::quick_gelu:
      return each([](F v) __attribute__((always_inline)) { return quick_gelu<S>(v); });
    case Activation::relu:
      return each([](F v) __attribute__((always_inline)) { return relu<S>(v); });
    case Activation::relu_squared:
      return each([](F v) __attribute__((always_inline)) { return relu_squared<S>(v); });
    case Activation::xielu:
      return each([&](F v) __attribute__((always_inline)) { return xielu<S>(parameters, v); });
    case Activation::sigmoid:
      return each([](F v) __attribute__((always_inline)) { return sigmoid<S>(v); });
  }
}

/// Quantises 32 values, x[], to [-127, 127], round to nearest; leaves in x what that left over.
template <class S>
HEARTH_INLINE void quantize_block(typename S::F* x, int8_t* out, BlockFactors* factors) {
  constexpr unsigned kVectors = kBlockCols / S::kLanes;
  auto largest = S::zero();
#pragma GCC unroll 8
  for (unsigned v = 0; v < kVectors; ++v) largest = S::max(largest, S::abs(x[v]));
  const float magnitude = S::reduce_max(largest);
  const bool is_zero = magnitude < 1e-30F;  // below it the reciprocal would overflow
  const auto reciprocal = S::set(is_zero ? 0.0F : 127.0F / magnitude);
  const float scale = is_zero ? 0.0F : magnitude * (1.0F / 127.0F);
  typename S::I q[kVectors];
#pragma GCC unroll 8
  for (unsigned v = 0; v < kVectors; ++v) {
    q[v] = S::to_int(S::mul(x[v], reciprocal));
    x[v] = S::fma(S::to_float(q[v]), S::set(-scale), x[v]);
  }
  const int32_t low = S::store_16_bytes(out, q);
  const int32_t high = S::store_16_bytes(out + 16, q + kVectors / 2);
  const int32_t total = low + high;
  *factors = {scale,        scale * static_cast<float>(total), -8 * total, -16 * total,
              -128 * total, {-32 * low, -32 * high},           0};
}

/// kTimes 1 is int8, 2 is fine.
template <class S, unsigned kTimes>
HEARTH_INLINE void quantize_blocks(const float* values, size_t blocks, const Int8Row& row, size_t first_block) {
  constexpr unsigned kVectors = kBlockCols / S::kLanes;
  for (size_t b = 0; b < blocks; ++b) {
    typename S::F x[kVectors];
#pragma GCC unroll 8
    for (unsigned v = 0; v < kVectors; ++v) x[v] = S::load(values + b * kBlockCols + v * S::kLanes);
    const size_t offset = (first_block + b) * row.stride_bytes;
    auto* factors = reinterpret_cast<BlockFactors*>(reinterpret_cast<std::byte*>(row.factors) + offset);
    for (unsigned time = 0; time < kTimes; ++time) {
      quantize_block<S>(x, row.values + offset + time * kBlockCols, factors + time);
    }
  }
}

template <class S>
void fill_panels(const float* values, size_t count, const PanelRow& row, size_t first_block) {
  if (row.int8.values != nullptr) quantize_blocks<S, 1>(values, count / kBlockCols, row.int8, first_block);
  if (row.fine.values != nullptr) quantize_blocks<S, 2>(values, count / kBlockCols, row.fine, first_block);
  if (row.float_values != nullptr) {
    for (size_t i = 0; i < count; i += S::kLanes) {
      const size_t left = count - i;
      float* out = row.float_values + (first_block + i / kBlockCols) * row.float_stride + i % kBlockCols;
      S::store(out, left < S::kLanes ? S::load_first(values + i, static_cast<unsigned>(left)) : S::load(values + i));
    }
    const size_t padded = (count + kBlockCols - 1) / kBlockCols * kBlockCols;
    for (size_t i = (count + S::kLanes - 1) / S::kLanes * S::kLanes; i < padded; i += S::kLanes) {
      S::store(row.float_values + (first_block + i / kBlockCols) * row.float_stride + i % kBlockCols, S::zero());
    }
  }
}

template <class S>
void rms_norm(const float* x, const float* weight, float epsilon, size_t count, float* out) {
  using F = typename S::F;
  F squares = S::zero();
  for_vectors<S>(
      count,
      [&](size_t i) __attribute__((always_inline)) {
        const F v = S::load(x + i);
        squares = S::fma(v, v, squares);
      },
      [&](size_t i, unsigned n) __attribute__((always_inline)) {
        const F v = S::load_first(x + i, n);
        squares = S::fma(v, v, squares);
      });
  const float mean = S::reduce_add(squares) / static_cast<float>(count);
  const F scale = S::set(1.0F / __builtin_sqrtf(mean + epsilon));
  map2<S>(
      x, weight, out, count, [&](F v, F w) __attribute__((always_inline)) { return S::mul(S::mul(v, scale), w); });
}

template <class S>
void add_scaled(float* residual, const float* branch, float factor, size_t count) {
  using F = typename S::F;
  const F f = S::set(factor);
  map2<S>(
      residual, branch, residual, count, [&](F r, F b) __attribute__((always_inline)) { return S::fma(b, f, r); });
}

template <class S>
void layer_norm(const float* x, const float* weight, const float* bias, float epsilon, size_t count, float* out) {
  using F = typename S::F;
  F sums = S::zero();
  for_vectors<S>(
      count, [&](size_t i) __attribute__((always_inline)) { sums = S::add(sums, S::load(x + i)); },
      [&](size_t i, unsigned n) __attribute__((always_inline)) { sums = S::add(sums, S::load_first(x + i, n)); });
  const F mean = S::set(S::reduce_add(sums) / static_cast<float>(count));
  map<S>(
      x, out, count, [&](F v) __attribute__((always_inline)) { return S::sub(v, mean); });
  rms_norm<S>(out, weight, epsilon, count, out);
  if (bias != nullptr) add_scaled<S>(out, bias, 1.0F, count);
}

template <class S>
void scale_and_cap(float* x, size_t count, float scale, float softcap) {
  using F = typename S::F;
  if (softcap > 0) {
    const F inner = S::set(scale / softcap);
    const F cap = S::set(softcap);
    map<S>(
        x, x, count, [&](F v) __attribute__((always_inline)) { return S::mul(cap, tanh<S>(S::mul(v, inner))); });
  } else {
    const F factor = S::set(scale);
    map<S>(
        x, x, count, [&](F v) __attribute__((always_inline)) { return S::mul(v, factor); });
  }
}

template <class S>
void rotate(float* head, const Rotation& r) {
  if (r.interleaved) {
    for (size_t i = 0; i < r.pairs; ++i) {
      const float x = head[2 * i];
      const float y = head[2 * i + 1];
      head[2 * i] = x * r.cosines[i] - y * r.sines[i];
      head[2 * i + 1] = x * r.sines[i] + y * r.cosines[i];
    }
    return;
  }
  using F = typename S::F;
  float* const a = head;
  float* const b = head + r.pairs;
  const auto turn = [](F & x, F & y, F c, F s) __attribute__((always_inline)) {
    const F turned = S::sub(S::mul(x, c), S::mul(y, s));
    y = S::add(S::mul(x, s), S::mul(y, c));
    x = turned;
  };
  for_vectors<S>(
      r.pairs,
      [&](size_t i) __attribute__((always_inline)) {
        F x = S::load(a + i);
        F y = S::load(b + i);
        turn(x, y, S::load(r.cosines + i), S::load(r.sines + i));
        S::store(a + i, x);
        S::store(b + i, y);
      },
      [&](size_t i, unsigned n) __attribute__((always_inline)) {
        F x = S::load_first(a + i, n);
        F y = S::load_first(b + i, n);
        turn(x, y, S::load_first(r.cosines + i, n), S::load_first(r.sines + i, n));
        S::store_first(a + i, n, x);
        S::store_first(b + i, n, y);
      });
}

/// To f16; what lies beyond its range becomes its largest number.
template <class S>
void narrow(const float* values, size_t count, uint16_t* out, size_t stride) {
  const auto limit = S::set(65504.0F);
  const auto put = [&](size_t i, unsigned n, typename S::F x) __attribute__((always_inline)) {
    uint16_t narrowed[S::kLanes];
    S::store_f16(narrowed, S::max(S::sub(S::zero(), limit), S::min(limit, x)));
    for (unsigned lane = 0; lane < n; ++lane) out[(i + lane) * stride] = narrowed[lane];
  };
  for_vectors<S>(
      count, [&](size_t i) __attribute__((always_inline)) { put(i, S::kLanes, S::load(values + i)); },
      [&](size_t i, unsigned n) __attribute__((always_inline)) { put(i, n, S::load_first(values + i, n)); });
}

}  // namespace hearth::cpu
