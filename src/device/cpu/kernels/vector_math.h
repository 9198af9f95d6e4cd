#pragma once

#include "device/cpu/kernels/inline.h"
#include "device/cpu/kernels/kernels.h"

namespace hearth::cpu {

/// e^x to 1e-7 of its value; 0 below -87, e^88 above 88, NaN for NaN. The reduction is Cody and Waite's: x = n ln 2 +
/// r, |r| <= ln 2 / 2, and a Taylor polynomial of r.
template <class S>
HEARTH_INLINE typename S::F exp(typename S::F x) {
  const auto clamped = S::max(S::set(-87.0F), S::min(S::set(88.0F), x));  // NaN passes as the second operand
  const auto n = S::to_int(S::mul(clamped, S::set(1.44269504F)));
  const auto whole = S::to_float(n);
  auto r = S::fma(whole, S::set(-0.693359375F), clamped);  // ln 2 in two parts, the first of few bits
  r = S::fma(whole, S::set(2.12194440e-4F), r);
  auto p = S::set(1.0F / 5040);
  p = S::fma(p, r, S::set(1.0F / 720));
  p = S::fma(p, r, S::set(1.0F / 120));
  p = S::fma(p, r, S::set(1.0F / 24));
  p = S::fma(p, r, S::set(1.0F / 6));
  p = S::fma(p, r, S::set(0.5F));
  p = S::fma(p, r, S::set(1.0F));
  p = S::fma(p, r, S::set(1.0F));
  return S::select(S::less(x, S::set(-87.0F)), S::zero(), S::mul(p, S::power_of_2(n)));
}

/// tanh to 3e-7 of its value: near 0 an odd polynomial that interpolates it at Chebyshev points of x^2 in [0, 0.625^2],
/// beyond it from e^2x.
template <class S>
HEARTH_INLINE typename S::F tanh(typename S::F x) {
  const auto a = S::abs(x);
  const auto e = exp<S>(S::add(a, a));
  const auto far = S::sub(S::set(1.0F), S::div(S::set(2.0F), S::add(e, S::set(1.0F))));
  const auto y = S::mul(a, a);
  auto p = S::set(0.00229274482F);
  p = S::fma(p, y, S::set(-0.00834394552F));
  p = S::fma(p, y, S::set(0.0217689187F));
  p = S::fma(p, y, S::set(-0.0539592596F));
  p = S::fma(p, y, S::set(0.133333036F));
  p = S::fma(p, y, S::set(-0.333333332F));
  const auto near = S::fma(S::mul(p, y), a, a);
  return S::copy_sign(S::select(S::less(a, S::set(0.625F)), near, far), x);
}

/// x / (1 + e^-x)
template <class S>
HEARTH_INLINE typename S::F silu(typename S::F x) {
  return S::div(x, S::add(S::set(1.0F), exp<S>(S::sub(S::zero(), x))));
}

template <class S>
HEARTH_INLINE typename S::F sigmoid(typename S::F x) {
  return S::div(S::set(1.0F), S::add(S::set(1.0F), exp<S>(S::sub(S::zero(), x))));
}

/// x / 2 * (1 + tanh(u)) = x / (1 + e^-2u), u = sqrt(2 / pi) * (x + 0.044715 x^3)
template <class S>
HEARTH_INLINE typename S::F gelu_tanh(typename S::F x) {
  const auto inner = S::fma(S::mul(S::mul(x, x), x), S::set(0.044715F), x);
  return S::div(x, S::add(S::set(1.0F), exp<S>(S::mul(inner, S::set(-1.5957691216F)))));
}

template <class S>
HEARTH_INLINE typename S::F quick_gelu(typename S::F x) {
  return S::div(x, S::add(S::set(1.0F), exp<S>(S::mul(x, S::set(-1.702F)))));
}

/// As device/operation.h has it. e^x - 1 loses digits near 0, where linear * x outweighs it.
template <class S>
HEARTH_INLINE typename S::F xielu(const Xielu& p, typename S::F x) {
  const auto linear = S::mul(x, S::set(p.linear));
  const auto above = S::fma(S::mul(x, x), S::set(p.positive), linear);
  const auto grown = S::sub(exp<S>(S::min(S::set(p.bound), x)), S::set(1.0F));
  const auto below = S::fma(S::sub(grown, x), S::set(p.negative), linear);
  return S::select(S::less(S::zero(), x), above, below);
}

/// x Phi(x) = x / 2 * erfc(-x / sqrt 2). With t = 1 / (1 + z / 2), ln(erfc(z) / t) + z^2 is nearly a polynomial of t:
/// this one interpolates it at Chebyshev points of z in [0, 9.3], so that small values are as accurate as large ones.
template <class S>
HEARTH_INLINE typename S::F gelu(typename S::F x) {
  const auto z = S::mul(S::abs(x), S::set(0.707106781F));
  const auto t = S::div(S::set(1.0F), S::fma(z, S::set(0.5F), S::set(1.0F)));
  auto p = S::set(0.138559341F);
  p = S::fma(p, t, S::set(-0.645911336F));
  p = S::fma(p, t, S::set(1.0739913F));
  p = S::fma(p, t, S::set(-0.585266888F));
  p = S::fma(p, t, S::set(-0.172871485F));
  p = S::fma(p, t, S::set(0.0509365611F));
  p = S::fma(p, t, S::set(0.0175261684F));
  p = S::fma(p, t, S::set(0.39025715F));
  p = S::fma(p, t, S::set(0.9982059F));
  p = S::fma(p, t, S::set(-1.26542664F));
  const auto tail = S::mul(S::mul(t, exp<S>(S::sub(p, S::mul(z, z)))), S::set(0.5F));  // Phi(-|x|)
  return S::mul(x, S::select(S::less(x, S::zero()), tail, S::sub(S::set(1.0F), tail)));
}

/// NaN passes as the second operand.
template <class S>
HEARTH_INLINE typename S::F relu(typename S::F x) {
  return S::max(S::zero(), x);
}

template <class S>
HEARTH_INLINE typename S::F relu_squared(typename S::F x) {
  const auto positive = relu<S>(x);
  return S::mul(positive, positive);
}

/// Calls full(i) for whole vectors of [0, count) and rest(i, n) for the last n elements.
template <class S, class Full, class Rest>
HEARTH_INLINE void for_vectors(size_t count, Full&& full, Rest&& rest) {
  size_t i = 0;
  for (; i + S::kLanes <= count; i += S::kLanes) full(i);
  if (i < count) rest(i, static_cast<unsigned>(count - i));
}

/// out[i] = f(in[i])
template <class S, class Function>
HEARTH_INLINE void map(const float* in, float* out, size_t count, Function&& f) {
  for_vectors<S>(
      count, [&](size_t i) __attribute__((always_inline)) { S::store(out + i, f(S::load(in + i))); },
      [&](size_t i, unsigned n)
          __attribute__((always_inline)) { S::store_first(out + i, n, f(S::load_first(in + i, n))); });
}

/// out[i] = f(a[i], b[i])
template <class S, class Function>
HEARTH_INLINE void map2(const float* a, const float* b, float* out, size_t count, Function&& f) {
  for_vectors<S>(
      count, [&](size_t i) __attribute__((always_inline)) { S::store(out + i, f(S::load(a + i), S::load(b + i))); },
      [&](size_t i, unsigned n) __attribute__((always_inline)) {
        S::store_first(out + i, n, f(S::load_first(a + i, n), S::load_first(b + i, n)));
      });
}

}  // namespace hearth::cpu
