#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "device/cpu/kernels/inline.h"

namespace hearth::cpu {

/// Vectors of AVX2 with FMA and F16C: one register holds 8 rows, half of a tile. `Isa` names the translation unit, so
/// that code compiled for different processors never shares a symbol; Isa::kDotProduct says whether AVX-VNNI is there.
/// simd_generic.h says what each function means.
template <class Isa>
struct Avx2 {
  static constexpr bool has_tile_kernel(unsigned tokens) { return tokens <= 4; }
  static constexpr unsigned kLanes = 8;
  static constexpr unsigned kRegisters = 16;
  static constexpr bool kDotProduct = Isa::kDotProduct;
  static constexpr bool kSignedBytes = !Isa::kDotProduct;

  using F = __m256;
  using I = __m256i;
  using B = __m256i;
  using M = __m256;

  HEARTH_INLINE I first(unsigned n) { return _mm256_cmpgt_epi32(set_i(static_cast<int32_t>(n)), iota()); }
  HEARTH_INLINE F load(const float* p) { return _mm256_loadu_ps(p); }
  HEARTH_INLINE F load_first(const float* p, unsigned n) { return _mm256_maskload_ps(p, first(n)); }
  HEARTH_INLINE void store(float* p, F x) { _mm256_storeu_ps(p, x); }
  HEARTH_INLINE void store_first(float* p, unsigned n, F x) { _mm256_maskstore_ps(p, first(n), x); }
  HEARTH_INLINE F set(float x) { return _mm256_set1_ps(x); }
  HEARTH_INLINE F zero() { return _mm256_setzero_ps(); }
  HEARTH_INLINE I set_i(int32_t x) { return _mm256_set1_epi32(x); }

  HEARTH_INLINE F add(F a, F b) { return _mm256_add_ps(a, b); }
  HEARTH_INLINE F sub(F a, F b) { return _mm256_sub_ps(a, b); }
  HEARTH_INLINE F mul(F a, F b) { return _mm256_mul_ps(a, b); }
  HEARTH_INLINE F div(F a, F b) { return _mm256_div_ps(a, b); }
  HEARTH_INLINE F fma(F a, F b, F c) { return _mm256_fmadd_ps(a, b, c); }
  HEARTH_INLINE F max(F a, F b) { return _mm256_max_ps(a, b); }
  HEARTH_INLINE F min(F a, F b) { return _mm256_min_ps(a, b); }
  HEARTH_INLINE F abs(F a) { return _mm256_andnot_ps(_mm256_set1_ps(-0.0F), a); }
  HEARTH_INLINE F copy_sign(F magnitude, F sign) {
    return _mm256_or_ps(magnitude, _mm256_and_ps(_mm256_set1_ps(-0.0F), sign));
  }
  HEARTH_INLINE M less(F a, F b) { return _mm256_cmp_ps(a, b, _CMP_LT_OQ); }
  HEARTH_INLINE F select(M m, F yes, F no) { return _mm256_blendv_ps(no, yes, m); }
  HEARTH_INLINE float reduce_max(F a) {
    const __m128 b = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    const __m128 c = _mm_max_ps(b, _mm_movehl_ps(b, b));
    return _mm_cvtss_f32(_mm_max_ss(c, _mm_movehdup_ps(c)));
  }
  HEARTH_INLINE float reduce_add(F a) {
    const __m128 b = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    const __m128 c = _mm_add_ps(b, _mm_movehl_ps(b, b));
    return _mm_cvtss_f32(_mm_add_ss(c, _mm_movehdup_ps(c)));
  }
  HEARTH_INLINE I iota() { return _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7); }

  HEARTH_INLINE F to_float(I a) { return _mm256_cvtepi32_ps(a); }
  HEARTH_INLINE I to_int(F a) { return _mm256_cvtps_epi32(a); }
  HEARTH_INLINE I add_i(I a, I b) { return _mm256_add_epi32(a, b); }
  HEARTH_INLINE I mul_i(I a, I b) { return _mm256_mullo_epi32(a, b); }
  HEARTH_INLINE F power_of_2(I n) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(n, _mm256_set1_epi32(127)), 23));
  }
  HEARTH_INLINE M less_i(I a, I b) { return _mm256_castsi256_ps(_mm256_cmpgt_epi32(b, a)); }

  HEARTH_INLINE F load_f16(const uint16_t* p) { return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i*)p)); }
  HEARTH_INLINE F load_bf16(const uint16_t* p) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i*)p)), 16));
  }
  HEARTH_INLINE void store_f16(uint16_t* p, F x) {
    _mm_storeu_si128((__m128i*)p, _mm256_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
  }
  HEARTH_INLINE I load_u8(const uint8_t* p) { return _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i*)p)); }
  HEARTH_INLINE I load_s8(const int8_t* p) { return _mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i*)p)); }
  HEARTH_INLINE int32_t store_16_bytes(int8_t* p, const I* x) {
    const __m256i words = _mm256_permute4x64_epi64(_mm256_packs_epi32(x[0], x[1]), 0xd8);
    const __m128i bytes = _mm_packs_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
    _mm_storeu_si128((__m128i*)p, bytes);
    const __m128i sums = _mm_sad_epu8(_mm_xor_si128(bytes, _mm_set1_epi8(-128)), _mm_setzero_si128());
    return _mm_cvtsi128_si32(_mm_add_epi32(sums, _mm_unpackhi_epi64(sums, sums))) - 16 * 128;
  }

  HEARTH_INLINE B load_bytes(const void* p) { return _mm256_loadu_si256(static_cast<const __m256i*>(p)); }
  HEARTH_INLINE B low_nibbles(B a) { return _mm256_and_si256(a, _mm256_set1_epi8(0x0f)); }
  HEARTH_INLINE B high_nibbles(B a) { return low_nibbles(_mm256_srli_epi16(a, 4)); }
  HEARTH_INLINE B doubled_e2m1_plus_16(B codes) {
    return _mm256_shuffle_epi8(
        _mm256_broadcastsi128_si256(_mm_setr_epi8(16, 17, 18, 19, 20, 22, 24, 28, 16, 15, 14, 13, 12, 10, 8, 4)),
        codes);
  }
  template <int kShift, char kMask>
  HEARTH_INLINE B or_shifted(B a, B bits) {
    if constexpr (kShift >= 0) bits = _mm256_slli_epi16(bits, kShift);
    if constexpr (kShift < 0) bits = _mm256_srli_epi16(bits, -kShift);
    return _mm256_or_si256(a, _mm256_and_si256(bits, _mm256_set1_epi8(kMask)));
  }

  HEARTH_INLINE I load_quad(const int8_t* p) { return _mm256_set1_epi32(*reinterpret_cast<const int32_t*>(p)); }

  template <unsigned kBits>
  HEARTH_INLINE I dot_quad(I sum, B w, const int8_t* quad) {
    if constexpr (Isa::kDotProduct) {
      return _mm256_dpbusd_avx_epi32(sum, w, load_quad(quad));
    } else {
      return _mm256_add_epi32(sum, widen_pairs(multiply_pairs<kBits>(w, load_quad(quad))));
    }
  }
  template <unsigned kBits>
  HEARTH_INLINE I multiply_pairs(B w, I quad) {
    if constexpr (kBits == 8) {
      const __m256i s = _mm256_xor_si256(w, _mm256_set1_epi8(-128));
      return _mm256_maddubs_epi16(_mm256_abs_epi8(s), _mm256_sign_epi8(quad, s));
    } else {
      return _mm256_maddubs_epi16(w, quad);
    }
  }
  HEARTH_INLINE I add_pairs(I a, I b) { return _mm256_add_epi16(a, b); }
  HEARTH_INLINE I widen_pairs(I a) { return _mm256_madd_epi16(a, _mm256_set1_epi16(1)); }

  HEARTH_INLINE void prefetch(const void* p) { _mm_prefetch(static_cast<const char*>(p), _MM_HINT_T0); }
};

}  // namespace hearth::cpu
