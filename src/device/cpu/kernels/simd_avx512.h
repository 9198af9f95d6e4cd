#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "device/cpu/kernels/inline.h"

namespace hearth::cpu {

/// Vectors of AVX-512 (F, BW, DQ, VL): one register holds the 16 rows of a tile. `Isa` names the translation unit, so
/// that code compiled for different processors never shares a symbol; Isa::kDotProduct says whether VNNI is there.
/// simd_generic.h says what each function means.
template <class Isa>
struct Avx512 {
  static constexpr bool has_tile_kernel(unsigned tokens) { return tokens <= 8 || (kDotProduct && tokens == 16); }
  static constexpr unsigned kLanes = 16;
  static constexpr unsigned kRegisters = 32;
  static constexpr bool kDotProduct = Isa::kDotProduct;
  static constexpr bool kSignedBytes = !Isa::kDotProduct;

  using F = __m512;
  using I = __m512i;
  using B = __m512i;
  using M = __mmask16;

  HEARTH_INLINE M first(unsigned n) { return static_cast<M>((1U << n) - 1U); }
  HEARTH_INLINE F load(const float* p) { return _mm512_loadu_ps(p); }
  HEARTH_INLINE F load_first(const float* p, unsigned n) { return _mm512_maskz_loadu_ps(first(n), p); }
  HEARTH_INLINE void store(float* p, F x) { _mm512_storeu_ps(p, x); }
  HEARTH_INLINE void store_first(float* p, unsigned n, F x) { _mm512_mask_storeu_ps(p, first(n), x); }
  HEARTH_INLINE F set(float x) { return _mm512_set1_ps(x); }
  HEARTH_INLINE F zero() { return _mm512_setzero_ps(); }
  HEARTH_INLINE I set_i(int32_t x) { return _mm512_set1_epi32(x); }

  HEARTH_INLINE F add(F a, F b) { return _mm512_add_ps(a, b); }
  HEARTH_INLINE F sub(F a, F b) { return _mm512_sub_ps(a, b); }
  HEARTH_INLINE F mul(F a, F b) { return _mm512_mul_ps(a, b); }
  HEARTH_INLINE F div(F a, F b) { return _mm512_div_ps(a, b); }
  HEARTH_INLINE F fma(F a, F b, F c) { return _mm512_fmadd_ps(a, b, c); }
  HEARTH_INLINE F max(F a, F b) { return _mm512_max_ps(a, b); }
  HEARTH_INLINE F min(F a, F b) { return _mm512_min_ps(a, b); }
  HEARTH_INLINE F abs(F a) { return _mm512_abs_ps(a); }
  HEARTH_INLINE F copy_sign(F magnitude, F sign) {
    return _mm512_castsi512_ps(_mm512_ternarylogic_epi32(_mm512_castps_si512(sign), _mm512_castps_si512(magnitude),
                                                         _mm512_set1_epi32(INT32_MIN), 0xe4));
  }
  HEARTH_INLINE M less(F a, F b) { return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ); }
  HEARTH_INLINE F select(M m, F yes, F no) { return _mm512_mask_blend_ps(m, no, yes); }
  HEARTH_INLINE float reduce_max(F a) { return _mm512_reduce_max_ps(a); }
  HEARTH_INLINE float reduce_add(F a) {
    const __m256 b = _mm256_add_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps(a, 1));
    const __m128 c = _mm_add_ps(_mm256_castps256_ps128(b), _mm256_extractf128_ps(b, 1));
    const __m128 d = _mm_add_ps(c, _mm_movehl_ps(c, c));
    return _mm_cvtss_f32(_mm_add_ss(d, _mm_movehdup_ps(d)));
  }
  HEARTH_INLINE I iota() { return _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15); }

  HEARTH_INLINE F to_float(I a) { return _mm512_cvtepi32_ps(a); }
  HEARTH_INLINE I to_int(F a) { return _mm512_cvtps_epi32(a); }
  HEARTH_INLINE I add_i(I a, I b) { return _mm512_add_epi32(a, b); }
  HEARTH_INLINE I mul_i(I a, I b) { return _mm512_mullo_epi32(a, b); }
  HEARTH_INLINE F power_of_2(I n) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_add_epi32(n, _mm512_set1_epi32(127)), 23));
  }
  HEARTH_INLINE M less_i(I a, I b) { return _mm512_cmplt_epi32_mask(a, b); }

  HEARTH_INLINE F load_f16(const uint16_t* p) { return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i*)p)); }
  HEARTH_INLINE F load_bf16(const uint16_t* p) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i*)p)), 16));
  }
  HEARTH_INLINE void store_f16(uint16_t* p, F x) {
    _mm256_storeu_si256((__m256i*)p, _mm512_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
  }
  HEARTH_INLINE I load_u8(const uint8_t* p) { return _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i*)p)); }
  HEARTH_INLINE I load_s8(const int8_t* p) { return _mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i*)p)); }
  HEARTH_INLINE int32_t store_16_bytes(int8_t* p, const I* x) {
    const __m128i bytes = _mm512_cvtsepi32_epi8(x[0]);
    _mm_storeu_si128((__m128i*)p, bytes);
    const __m128i sums = _mm_sad_epu8(_mm_xor_si128(bytes, _mm_set1_epi8(-128)), _mm_setzero_si128());
    return _mm_cvtsi128_si32(_mm_add_epi32(sums, _mm_unpackhi_epi64(sums, sums))) - 16 * 128;
  }

  HEARTH_INLINE B load_bytes(const void* p) { return _mm512_loadu_si512(p); }
  HEARTH_INLINE B low_nibbles(B a) { return _mm512_and_si512(a, _mm512_set1_epi8(0x0f)); }
  HEARTH_INLINE B high_nibbles(B a) { return low_nibbles(_mm512_srli_epi16(a, 4)); }
  HEARTH_INLINE B doubled_e2m1_plus_16(B codes) {
    return _mm512_shuffle_epi8(
        _mm512_broadcast_i32x4(_mm_setr_epi8(16, 17, 18, 19, 20, 22, 24, 28, 16, 15, 14, 13, 12, 10, 8, 4)), codes);
  }
  template <int kShift>
  HEARTH_INLINE B shifted(B a) {
    if constexpr (kShift >= 0) return _mm512_slli_epi16(a, kShift);
    if constexpr (kShift < 0) return _mm512_srli_epi16(a, -kShift);
  }
  template <int kShift, char kMask>
  HEARTH_INLINE B or_shifted(B a, B bits) {
    return _mm512_ternarylogic_epi32(a, shifted<kShift>(bits), _mm512_set1_epi8(kMask), 0xf8);
  }

  HEARTH_INLINE I load_quad(const int8_t* p) { return _mm512_set1_epi32(*reinterpret_cast<const int32_t*>(p)); }

  template <unsigned kBits>
  HEARTH_INLINE I dot_quad(I sum, B w, const int8_t* quad) {
    if constexpr (Isa::kDotProduct) {
      // Written out, as g++ 12 repeats the quad into a register of its own first.
      asm("vpdpbusd %2%{1to16%}, %1, %0" : "+v"(sum) : "v"(w), "m"(*reinterpret_cast<const int32_t*>(quad)));
      return sum;
    } else {
      return _mm512_add_epi32(sum, widen_pairs(multiply_pairs<kBits>(w, load_quad(quad))));
    }
  }
  template <unsigned kBits>
  HEARTH_INLINE I multiply_pairs(B w, I quad) {
    if constexpr (kBits == 8) {
      const __m512i s = _mm512_xor_si512(w, _mm512_set1_epi8(-128));
      const __m512i signed_quad = _mm512_mask_sub_epi8(quad, _mm512_movepi8_mask(s), _mm512_setzero_si512(), quad);
      return _mm512_maddubs_epi16(_mm512_abs_epi8(s), signed_quad);
    } else {
      return _mm512_maddubs_epi16(w, quad);
    }
  }
  HEARTH_INLINE I add_pairs(I a, I b) { return _mm512_add_epi16(a, b); }
  HEARTH_INLINE I widen_pairs(I a) { return _mm512_madd_epi16(a, _mm512_set1_epi16(1)); }

  HEARTH_INLINE void prefetch(const void* p) { _mm_prefetch(static_cast<const char*>(p), _MM_HINT_T0); }
};

}  // namespace hearth::cpu
