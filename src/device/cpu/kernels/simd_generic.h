#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "device/cpu/kernels/inline.h"
#include "tensor/float16.h"

namespace hearth::cpu {

/// The vectors that the kernels are written in, in the compiler's own vector types, which it maps to what the processor
/// has. F, I and B are 16 floats, 32-bit integers and 4 x 16 bytes; M is true in the lanes that are not 0.
/// kSignedBytes: 8-bit weights take part as what they mean, so that no zero has to be subtracted; kDotProduct: dot_quad
/// is as good as anything.
template <class Isa>
struct Generic {
  /// Whether a kernel for exactly this many tokens is worth its code. 1 always is.
  static constexpr bool has_tile_kernel(unsigned tokens) { return tokens == 1 || tokens == 4; }
  static constexpr unsigned kLanes = 16;
  static constexpr unsigned kRegisters = 16;
  static constexpr bool kDotProduct = true;
  static constexpr bool kSignedBytes = false;

  using F = float __attribute__((vector_size(64)));
  using I = int32_t __attribute__((vector_size(64)));
  using B = uint8_t __attribute__((vector_size(64)));
  using M = I;

  HEARTH_INLINE F load(const float* p) { return load_first(p, kLanes); }
  HEARTH_INLINE void store(float* p, F x) { store_first(p, kLanes, x); }
  /// The first n lanes from memory, zero in the others.
  HEARTH_INLINE F load_first(const float* p, unsigned n) {
    F out{};
    std::memcpy(&out, p, n * sizeof(float));
    return out;
  }
  HEARTH_INLINE void store_first(float* p, unsigned n, F x) { std::memcpy(p, &x, n * sizeof(float)); }
  HEARTH_INLINE F set(float x) { return x - F{}; }
  HEARTH_INLINE F zero() { return F{}; }
  HEARTH_INLINE I set_i(int32_t x) { return x - I{}; }

  HEARTH_INLINE F add(F a, F b) { return a + b; }
  HEARTH_INLINE F sub(F a, F b) { return a - b; }
  HEARTH_INLINE F mul(F a, F b) { return a * b; }
  HEARTH_INLINE F div(F a, F b) { return a / b; }
  /// a * b + c; whether it is rounded once or twice is the instruction set's own.
  HEARTH_INLINE F fma(F a, F b, F c) { return a * b + c; }
  /// The second operand where one is NaN.
  HEARTH_INLINE F max(F a, F b) { return a > b ? a : b; }
  HEARTH_INLINE F min(F a, F b) { return a < b ? a : b; }
  HEARTH_INLINE F abs(F a) { return (F)((I)a & INT32_MAX); }
  /// `magnitude` >= 0 with the sign of `sign`.
  HEARTH_INLINE F copy_sign(F magnitude, F sign) { return (F)((I)magnitude | ((I)sign & INT32_MIN)); }
  HEARTH_INLINE M less(F a, F b) { return a < b; }
  HEARTH_INLINE F select(M m, F yes, F no) { return m ? yes : no; }
  HEARTH_INLINE float reduce_max(F a) {
    float best = a[0];
    for (unsigned i = 1; i < kLanes; ++i) best = best > a[i] ? best : a[i];
    return best;
  }
  HEARTH_INLINE float reduce_add(F a) {
    for (unsigned n = kLanes / 2; n > 0; n /= 2) {
      for (unsigned i = 0; i < n; ++i) a[i] += a[i + n];
    }
    return a[0];
  }
  HEARTH_INLINE I iota() { return I{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}; }

  HEARTH_INLINE F to_float(I a) { return __builtin_convertvector(a, F); }
  /// To nearest, ties to even. |a| < 2^22, or NaN.
  HEARTH_INLINE I to_int(F a) {
    return (I)(a + 12582912.0F) - 0x4b400000;  // 1.5 * 2^23: the addition rounds to whole numbers
  }
  HEARTH_INLINE I add_i(I a, I b) { return a + b; }
  HEARTH_INLINE I mul_i(I a, I b) { return a * b; }
  HEARTH_INLINE int32_t reduce_add_i(I a) {
    int32_t sum = 0;
    for (unsigned i = 0; i < kLanes; ++i) sum += a[i];
    return sum;
  }
  /// 2^n, -127 < n < 128.
  HEARTH_INLINE F power_of_2(I n) { return (F)((n + 127) << 23); }
  HEARTH_INLINE M less_i(I a, I b) { return a < b; }

  HEARTH_INLINE F load_f16(const uint16_t* p) {
    F out;
    for (unsigned i = 0; i < kLanes; ++i) out[i] = f16_to_f32(p[i]);
    return out;
  }
  HEARTH_INLINE F load_bf16(const uint16_t* p) {
    F out;
    for (unsigned i = 0; i < kLanes; ++i) out[i] = bf16_to_f32(p[i]);
    return out;
  }
  HEARTH_INLINE void store_f16(uint16_t* p, F x) {
    for (unsigned i = 0; i < kLanes; ++i) p[i] = f32_to_f16(x[i]);
  }
  HEARTH_INLINE I load_u8(const uint8_t* p) {
    I out;
    for (unsigned i = 0; i < kLanes; ++i) out[i] = p[i];
    return out;
  }
  HEARTH_INLINE I load_s8(const int8_t* p) {
    I out;
    for (unsigned i = 0; i < kLanes; ++i) out[i] = p[i];
    return out;
  }
  /// The lanes must fit.
  HEARTH_INLINE void store_s8(int8_t* p, I x) {
    for (unsigned i = 0; i < kLanes; ++i) p[i] = static_cast<int8_t>(x[i]);
  }

  HEARTH_INLINE B load_bytes(const void* p) {
    B out;
    std::memcpy(&out, p, sizeof(out));
    return out;
  }
  HEARTH_INLINE B low_nibbles(B a) { return a & 0x0f; }
  HEARTH_INLINE B high_nibbles(B a) { return a >> 4; }
  /// a | (bits << kShift & kMask) in each byte; a negative kShift shifts right.
  template <int kShift, char kMask>
  HEARTH_INLINE B or_shifted(B a, B bits) {
    if constexpr (kShift >= 0) return a | ((bits << kShift) & kMask);
    if constexpr (kShift < 0) return a | ((bits >> -kShift) & kMask);
  }

  /// Four activations, repeated in all lanes.
  HEARTH_INLINE I load_quad(const int8_t* p) {
    int32_t quad;
    std::memcpy(&quad, p, sizeof(quad));
    return set_i(quad);
  }
  /// Adds to each lane the product of its four unsigned weights with the quad. Vectors without such an instruction
  /// also have multiply_pairs (two sums of two 16-bit products a lane), add_pairs and widen_pairs.
  template <unsigned kBits>
  HEARTH_INLINE I dot_quad(I sum, B w, I quad) {
    const I weights = (I)w;
    sum += (weights & 255) * (quad << 24 >> 24);
    sum += (weights >> 8 & 255) * (quad << 16 >> 24);
    sum += (weights >> 16 & 255) * (quad << 8 >> 24);
    return sum + (weights >> 24 & 255) * (quad >> 24);
  }

  HEARTH_INLINE void prefetch(const void* p) { __builtin_prefetch(p); }
};

}  // namespace hearth::cpu
