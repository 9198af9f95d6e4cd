#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "device/cpu/kernels/inline.h"
#include "tensor/float16.h"

namespace hearth::cpu {

/// The vectors that the kernels are written in, in the compiler's own vector types, which it maps to what the processor
/// has. F, I and B are 4 floats, 4 32-bit integers and 16 bytes; M is true in the lanes that are not 0.
/// kSignedBytes: 8-bit weights take part as what they mean, so that no zero has to be subtracted; kDotProduct: dot_quad
/// is as good as anything.
template <class Isa>
struct Generic {
  /// Whether a kernel for exactly this many tokens is worth its code. 1 always is.
  static constexpr bool has_tile_kernel(unsigned tokens) { return tokens == 1 || tokens == 4; }
  static constexpr unsigned kLanes = 4;
  static constexpr unsigned kRegisters = 16;
  static constexpr bool kDotProduct = true;
  static constexpr bool kSignedBytes = false;

  using F = float __attribute__((vector_size(16)));
  using I = int32_t __attribute__((vector_size(16)));
  using B = uint8_t __attribute__((vector_size(16)));
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
  HEARTH_INLINE I iota() { return I{0, 1, 2, 3}; }

  HEARTH_INLINE F to_float(I a) { return __builtin_convertvector(a, F); }
  /// To nearest, ties to even. |a| < 2^22, or NaN.
  HEARTH_INLINE I to_int(F a) {
    return (I)(a + 12582912.0F) - 0x4b400000;  // 1.5 * 2^23: the addition rounds to whole numbers
  }
  HEARTH_INLINE I add_i(I a, I b) { return a + b; }
  HEARTH_INLINE I mul_i(I a, I b) { return a * b; }
  /// 2^n, -127 < n < 128.
  HEARTH_INLINE F power_of_2(I n) { return (F)((n + 127) << 23); }
  HEARTH_INLINE M less_i(I a, I b) { return a < b; }

  /// Subnormals included; infinities and NaN keep their place beyond all numbers.
  HEARTH_INLINE F load_f16(const uint16_t* p) {
    const I half = widen<U16>(p);
    const I magnitude = (half & 0x7fff) << 13;
    const I scaled = (I)((F)magnitude * 0x1p112F);  // moves the exponent's bias from 15 to 127
    const I beyond = magnitude >= (0x7c00 << 13) ? I{} + 0x7f800000 : I{};
    return (F)(scaled | beyond | (half & 0x8000) << 16);
  }
  HEARTH_INLINE F load_bf16(const uint16_t* p) { return (F)(widen<U16>(p) << 16); }
  HEARTH_INLINE void store_f16(uint16_t* p, F x) {
    for (unsigned i = 0; i < kLanes; ++i) p[i] = f32_to_f16(x[i]);
  }
  HEARTH_INLINE I load_u8(const uint8_t* p) { return widen<U8>(p); }
  HEARTH_INLINE I load_s8(const int8_t* p) { return widen<S8>(p); }
  /// Stores 16 numbers that fit a byte and returns their sum. x has 16 / kLanes vectors.
  HEARTH_INLINE int32_t store_16_bytes(int8_t* p, const I* x) {
    for (unsigned i = 0; i < 16; ++i) p[i] = static_cast<int8_t>(x[i / kLanes][i % kLanes]);
    const I sums = (x[0] + x[1]) + (x[2] + x[3]);
    return (sums[0] + sums[1]) + (sums[2] + sums[3]);
  }

  HEARTH_INLINE B load_bytes(const void* p) {
    B out;
    std::memcpy(&out, p, sizeof(out));
    return out;
  }
  HEARTH_INLINE B low_nibbles(B a) { return a & 0x0f; }
  HEARTH_INLINE B high_nibbles(B a) { return a >> 4; }
  /// Of each byte, a code of an e2m1 number, twice that number plus 16 (tensor/blocks.h).
  HEARTH_INLINE B doubled_e2m1_plus_16(B codes) {
    constexpr uint8_t kTable[16] = {16, 17, 18, 19, 20, 22, 24, 28, 16, 15, 14, 13, 12, 10, 8, 4};
    B out;
    for (unsigned i = 0; i < sizeof(B); ++i) out[i] = kTable[codes[i]];
    return out;
  }
  /// a | (bits << kShift & kMask) in each byte; a negative kShift shifts right.
  template <int kShift, char kMask>
  HEARTH_INLINE B or_shifted(B a, B bits) {
    if constexpr (kShift >= 0) return a | ((bits << kShift) & kMask);
    if constexpr (kShift < 0) return a | ((bits >> -kShift) & kMask);
  }

  /// Adds to each lane the product of its four unsigned weights with the four activations at `quad`. Vectors without
  /// such an instruction also have load_quad (the four in all lanes), multiply_pairs (two sums of two 16-bit products a
  /// lane), add_pairs and widen_pairs.
  template <unsigned kBits>
  HEARTH_INLINE I dot_quad(I sum, B w, const int8_t* quad) {
    // A product fits 16 bits, whose multiplication every processor has; the sum of two does below 8 bits.
    const W even = (W)w & 255;
    const W odd = (W)w >> 8;
    const W products_even = (W)(even * (W)(I{} + pair(quad[0], quad[2])));
    const W products_odd = (W)(odd * (W)(I{} + pair(quad[1], quad[3])));
    if constexpr (kBits < 8) return sum + halves((I)(W)(products_even + products_odd));
    return sum + halves((I)products_even) + halves((I)products_odd);
  }

 private:
  using U16 = uint16_t __attribute__((vector_size(8)));
  using U8 = uint8_t __attribute__((vector_size(4)));
  using S8 = int8_t __attribute__((vector_size(4)));

  template <class Narrow>
  HEARTH_INLINE I widen(const void* p) {
    Narrow narrow;
    std::memcpy(&narrow, p, sizeof(narrow));
    return __builtin_convertvector(narrow, I);
  }

  using W = uint16_t __attribute__((vector_size(16)));

  HEARTH_INLINE int32_t pair(int8_t low, int8_t high) {
    return static_cast<int32_t>(static_cast<uint32_t>(static_cast<uint16_t>(high)) << 16 | static_cast<uint16_t>(low));
  }
  /// The sum of the two signed 16-bit numbers in each lane.
  HEARTH_INLINE I halves(I a) { return (a << 16 >> 16) + (a >> 16); }

 public:
  HEARTH_INLINE void prefetch(const void* p) { __builtin_prefetch(p); }
};

}  // namespace hearth::cpu
