#pragma once

#include <utility>

#include "device/cpu/kernels/inline.h"
#include "device/cpu/kernels/kernels.h"
#include "device/cpu/tile.h"

namespace hearth::cpu {

/// How far ahead of its use a weight is fetched into the cache. Tiles follow one another in memory, so that the end of
/// one fetches the beginning of the next.
inline constexpr size_t kPrefetchBytes = 4096;

/// Sums of 16-bit products that fit 16 bits: two products of an unsigned weight below 2^bits with [-127, 127] a lane.
constexpr unsigned quads_per_widening(unsigned bits) { return bits == 4 ? 8 : bits == 5 ? 4 : bits == 6 ? 2 : 1; }

/// Calls f with std::integral_constant<unsigned, 0> ... <n - 1>.
template <unsigned n, class Function>
[[gnu::always_inline]] constexpr void unrolled(Function&& f) {
  [&]<unsigned... i>(std::integer_sequence<unsigned, i...>) __attribute__((always_inline)) {
    (f(std::integral_constant<unsigned, i>{}), ...);
  }
  (std::make_integer_sequence<unsigned, n>{});
}

/// Reading one block of integer weights: a vector's worth of rows, `half` counting vectors down the tile.
template <class S, TileEncoding kEncoding>
struct BlockReader {
  static constexpr TileLayout kLayout = tile_layout(kEncoding);
  using F = typename S::F;
  using I = typename S::I;
  using B = typename S::B;

  template <unsigned kQuad>
  HEARTH_INLINE B quad(const std::byte* block, unsigned half) {
    const std::byte* rows = block + half * S::kLanes * 4;
    if constexpr (kLayout.bits == 8) {
      return S::load_bytes(rows + kQuad * 64);
    } else {
      const B pair = S::load_bytes(rows + kQuad % 4 * 64);
      B w;
      if constexpr (kQuad < 4) w = S::low_nibbles(pair);
      if constexpr (kQuad >= 4) w = S::high_nibbles(pair);
      if constexpr (kLayout.is_e2m1()) return S::doubled_e2m1_plus_16(w);
      const std::byte* high = rows + kLayout.low_bytes;
      if constexpr (kLayout.bits == 5) {
        w = S::template or_shifted<4 - static_cast<int>(kQuad), 0x10>(w, S::load_bytes(high));
      }
      if constexpr (kLayout.bits == 6) {
        w = S::template or_shifted<4 - 2 * static_cast<int>(kQuad % 4), 0x30>(w, S::load_bytes(high + kQuad / 4 * 64));
      }
      return w;
    }
  }

  /// What the header says of all blocks of its group.
  struct Header {
    F scale;
    F minus_minimum;
  };
  HEARTH_INLINE Header header(const std::byte* group, unsigned half) {
    const auto* halves = reinterpret_cast<const uint16_t*>(group) + half * S::kLanes;
    Header h{};
    if constexpr (kLayout.header_bytes != 0) h.scale = S::load_f16(halves);
    if constexpr (kLayout.scale == ScaleKind::k_min) {
      h.minus_minimum = S::sub(S::zero(), S::load_f16(halves + kTileRows));
    }
    return h;
  }

  /// The factors of one block: weight = scale * (half_scale *) (stored - zero) + minimum.
  struct Scales {
    F scale;
    F minimum;
    I half_scale[2];
  };
  HEARTH_INLINE Scales scales(const Header& header, const std::byte* block, unsigned half) {
    const std::byte* p = block + kLayout.low_bytes + kLayout.high_bytes;
    const unsigned row = half * S::kLanes;
    Scales s{};
    if constexpr (kLayout.scale == ScaleKind::f16 || kLayout.scale == ScaleKind::f16_min) {
      s.scale = S::load_f16(reinterpret_cast<const uint16_t*>(p) + row);
    }
    if constexpr (kLayout.scale == ScaleKind::bf16) {
      s.scale = S::load_bf16(reinterpret_cast<const uint16_t*>(p) + row);
    }
    if constexpr (kLayout.scale == ScaleKind::f16_min) {
      s.minimum = S::load_f16(reinterpret_cast<const uint16_t*>(p) + kTileRows + row);
    }
    if constexpr (kLayout.scale == ScaleKind::k_min) {
      const auto* bytes = reinterpret_cast<const uint8_t*>(p) + row;
      s.scale = S::mul(S::to_float(S::load_u8(bytes)), header.scale);
      s.minimum = S::mul(S::to_float(S::load_u8(bytes + kTileRows)), header.minus_minimum);
    }
    if constexpr (kLayout.scale == ScaleKind::k_half) {
      const auto* bytes = reinterpret_cast<const int8_t*>(p) + row;
      s.scale = header.scale;
      s.half_scale[0] = S::load_s8(bytes);
      s.half_scale[1] = S::load_s8(bytes + kTileRows);
    }
    return s;
  }
};

/// One block's integer sums for kTokens tokens. Sums are exact, so their order is free and differs between processors.
template <class S, TileEncoding kEncoding, unsigned kTokens>
struct BlockSums {
  static constexpr TileLayout kLayout = tile_layout(kEncoding);
  static constexpr unsigned kBits = kLayout.bits;
  static constexpr bool kHalves = kLayout.scale == ScaleKind::k_half;
  using Reader = BlockReader<S, kEncoding>;
  using I = typename S::I;
  using B = typename S::B;

  /// What a sum begins with: -zero * sum of the activations.
  HEARTH_INLINE I start(const BlockFactors& factors, unsigned block_half) {
    if constexpr (kHalves) return S::set_i(factors.minus_32_sum[block_half]);
    if constexpr (kLayout.zero == 8) return S::set_i(factors.minus_8_sum);
    if constexpr (kLayout.zero == 16) return S::set_i(factors.minus_16_sum);
    if constexpr (kLayout.zero == 128 && !S::kSignedBytes) return S::set_i(factors.minus_128_sum);
    return S::set_i(0);
  }

  /// With many registers the block's weights stay in them, and some tokens after the others pass: as many as it takes
  /// to hide the latency of a dot product. `add(t, sum)` takes each sum.
  template <class Add>
  HEARTH_INLINE void tokens_by_group(const std::byte* block, unsigned half, const int8_t* values,
                                     const BlockFactors* factors, const typename Reader::Scales& scales, Add&& add) {
    B w[kQuadsPerBlock];
    unrolled<kQuadsPerBlock>([&](auto q)
                                 __attribute__((always_inline)) { w[q] = Reader::template quad<q>(block, half); });
    constexpr unsigned kParts = kHalves ? 2 : 1;
    constexpr unsigned kGroup = 4 / kParts;
#pragma GCC unroll 16
    for (unsigned first = 0; first < kTokens; first += kGroup) {
      const unsigned count = kTokens - first < kGroup ? kTokens - first : kGroup;
      I sum[kGroup][kParts];
#pragma GCC unroll 4
      for (unsigned t = 0; t < count; ++t) {
        for (unsigned part = 0; part < kParts; ++part) sum[t][part] = start(factors[first + t], part);
      }
#pragma GCC unroll 8
      for (unsigned q = 0; q < kQuadsPerBlock / kParts; ++q) {
#pragma GCC unroll 4
        for (unsigned t = 0; t < count; ++t) {
#pragma GCC unroll 2
          for (unsigned part = 0; part < kParts; ++part) {
            const unsigned quad = part * (kQuadsPerBlock / kParts) + q;
            sum[t][part] =
                S::template dot_quad<kBits>(sum[t][part], w[quad], values + (first + t) * kBlockCols + quad * 4);
          }
        }
      }
#pragma GCC unroll 4
      for (unsigned t = 0; t < count; ++t) {
        I total = sum[t][0];
        if constexpr (kHalves) {
          total = S::add_i(S::mul_i(sum[t][0], scales.half_scale[0]), S::mul_i(sum[t][1], scales.half_scale[1]));
        }
        add(first + t, total);
      }
    }
  }

  /// With few registers the sums stay in them, and one quad of weights after the other is unpacked.
  template <class Add>
  HEARTH_INLINE void quad_by_quad(const std::byte* block, unsigned half, const int8_t* values,
                                  const BlockFactors* factors, const typename Reader::Scales& scales, Add&& add) {
    constexpr unsigned kParts = kHalves ? 2 : 1;
    I sums[kTokens];
    unrolled<kParts>([&](auto part) __attribute__((always_inline)) {
      I sum[kTokens];
#pragma GCC unroll 16
      for (unsigned t = 0; t < kTokens; ++t) sum[t] = start(factors[t], part);
      constexpr unsigned kQuads = kQuadsPerBlock / kParts;
      constexpr unsigned kDepth =
          S::kDotProduct || quads_per_widening(kBits) < kQuads ? quads_per_widening(kBits) : kQuads;
      unrolled<kQuads / kDepth>([&](auto run) __attribute__((always_inline)) {
        constexpr unsigned kFirst = part * kQuads + run * kDepth;
        add_quads<kFirst, kDepth>(block, half, values, sum);
      });
#pragma GCC unroll 16
      for (unsigned t = 0; t < kTokens; ++t) {
        if constexpr (kHalves) sum[t] = S::mul_i(sum[t], scales.half_scale[part]);
        sums[t] = part == 0 ? sum[t] : S::add_i(sums[t], sum[t]);
      }
    });
#pragma GCC unroll 16
    for (unsigned t = 0; t < kTokens; ++t) add(t, sums[t]);
  }

 private:
  template <unsigned kFirst, unsigned kDepth>
  HEARTH_INLINE void add_quads(const std::byte* block, unsigned half, const int8_t* values, I* sum) {
    if constexpr (S::kDotProduct) {
      unrolled<kDepth>([&](auto i) __attribute__((always_inline)) {
        constexpr unsigned kQuad = kFirst + i;
        const B w = Reader::template quad<kQuad>(block, half);
#pragma GCC unroll 16
        for (unsigned t = 0; t < kTokens; ++t) {
          sum[t] = S::template dot_quad<kBits>(sum[t], w, values + t * kBlockCols + kQuad * 4);
        }
      });
    } else {
      I pairs[kTokens];
      unrolled<kDepth>([&](auto i) __attribute__((always_inline)) {
        constexpr unsigned kQuad = kFirst + i;
        const B w = Reader::template quad<kQuad>(block, half);
#pragma GCC unroll 16
        for (unsigned t = 0; t < kTokens; ++t) {
          const I products = S::template multiply_pairs<kBits>(w, S::load_quad(values + t * kBlockCols + kQuad * 4));
          pairs[t] = i == 0 ? products : S::add_pairs(pairs[t], products);
        }
      });
#pragma GCC unroll 16
      for (unsigned t = 0; t < kTokens; ++t) sum[t] = S::add_i(sum[t], S::widen_pairs(pairs[t]));
    }
  }
};

template <class S, size_t kBytes>
HEARTH_INLINE void prefetch_block(const std::byte* block) {
#pragma GCC unroll 32
  for (size_t line = 0; line < kBytes; line += 64) S::prefetch(block + kPrefetchBytes + line);
}

/// Integer weights times int8 activations. For each row and token, over the blocks in order:
///   acc = fma(float(integer sum), weight scale * activation scale, acc)
///   acc = fma(minimum, activation scale * activation sum, acc)      for encodings with a minimum
template <class S, TileEncoding kEncoding, unsigned kTokens>
void integer_tile(const std::byte* tile, size_t groups, const PanelView& panel, float* out, size_t out_stride) {
  constexpr TileLayout kLayout = tile_layout(kEncoding);
  using Reader = BlockReader<S, kEncoding>;
  using Sums = BlockSums<S, kEncoding, kTokens>;
  using F = typename S::F;
  for (unsigned half = 0; half < kTileRows / S::kLanes; ++half) {
    F acc[kTokens];
#pragma GCC unroll 16
    for (unsigned t = 0; t < kTokens; ++t) acc[t] = S::zero();
    const std::byte* values = panel.values;
    const auto* factors = reinterpret_cast<const std::byte*>(panel.factors);
    const std::byte* block = tile;
    for (size_t group = 0; group < groups; ++group) {
      const auto header = Reader::header(block, half);
      block += kLayout.header_bytes;
      for (unsigned b = 0; b < kLayout.group_blocks; ++b) {
        if (half == 0) prefetch_block<S, kLayout.block_bytes()>(block);
        const auto scales = Reader::scales(header, block, half);
        const auto* q = reinterpret_cast<const int8_t*>(values);
        const auto* f = reinterpret_cast<const BlockFactors*>(factors);
        const auto add = [&](unsigned t, typename S::I sum) __attribute__((always_inline)) {
          acc[t] = S::fma(S::to_float(sum), S::mul(scales.scale, S::set(f[t].scale)), acc[t]);
          if constexpr (kLayout.has_minimum()) acc[t] = S::fma(scales.minimum, S::set(f[t].scaled_sum), acc[t]);
        };
        if constexpr (S::kRegisters == 32 && S::kDotProduct) {
          Sums::tokens_by_group(block, half, q, f, scales, add);
        } else {
          Sums::quad_by_quad(block, half, q, f, scales, add);
        }
        block += kLayout.block_bytes();
        values += panel.record_bytes;
        factors += panel.record_bytes;
      }
    }
#pragma GCC unroll 16
    for (unsigned t = 0; t < kTokens; ++t) S::store(out + t * out_stride + half * S::kLanes, acc[t]);
  }
}

/// Float weights times float activations: acc = fma(weight, activation, acc) over the columns in order.
template <class S, TileEncoding kEncoding, unsigned kTokens>
void float_tile(const std::byte* tile, size_t groups, const PanelView& panel, float* out, size_t out_stride) {
  constexpr TileLayout kLayout = tile_layout(kEncoding);
  using F = typename S::F;
  constexpr unsigned kVectors = kTileRows / S::kLanes;
  F acc[kTokens][kVectors];
#pragma GCC unroll 16
  for (unsigned t = 0; t < kTokens; ++t) {
    for (unsigned v = 0; v < kVectors; ++v) acc[t][v] = S::zero();
  }
  const std::byte* values = panel.values;
  const std::byte* column = tile;
  for (size_t group = 0; group < groups; ++group) {
    const auto* a = reinterpret_cast<const float*>(values);
    for (unsigned k = 0; k < kBlockCols; ++k) {
      if (kTokens <= 8) prefetch_block<S, kLayout.low_bytes / kBlockCols>(column);
#pragma GCC unroll 2
      for (unsigned v = 0; v < kVectors; ++v) {
        F w;
        if constexpr (kEncoding == TileEncoding::f32) {
          w = S::load(reinterpret_cast<const float*>(column) + v * S::kLanes);
        } else if constexpr (kEncoding == TileEncoding::f16) {
          w = S::load_f16(reinterpret_cast<const uint16_t*>(column) + v * S::kLanes);
        } else {
          w = S::load_bf16(reinterpret_cast<const uint16_t*>(column) + v * S::kLanes);
        }
#pragma GCC unroll 16
        for (unsigned t = 0; t < kTokens; ++t) acc[t][v] = S::fma(w, S::set(a[t * kBlockCols + k]), acc[t][v]);
      }
      column += kLayout.low_bytes / kBlockCols;
    }
    values += panel.record_bytes;
  }
#pragma GCC unroll 16
  for (unsigned t = 0; t < kTokens; ++t) {
    for (unsigned v = 0; v < kVectors; ++v) S::store(out + t * out_stride + v * S::kLanes, acc[t][v]);
  }
}

template <class S, TileEncoding kEncoding, unsigned kTokens>
constexpr TileKernel tile_kernel() {
  if constexpr (kTokens == 0 || !S::has_tile_kernel(kTokens)) {
    return nullptr;
  } else if constexpr (tile_layout(kEncoding).is_integer()) {
    return integer_tile<S, kEncoding, kTokens>;
  } else {
    return float_tile<S, kEncoding, kTokens>;
  }
}

template <class S, TileEncoding kEncoding>
constexpr auto tile_kernels_of() {
  std::array<TileKernel, kPanelTokens + 1> kernels{};
  unrolled<kPanelTokens + 1>([&](auto tokens) { kernels[tokens] = tile_kernel<S, kEncoding, tokens>(); });
  return kernels;
}

template <class S>
constexpr auto tile_kernels() {
  std::array<std::array<TileKernel, kPanelTokens + 1>, kTileEncodingCount> kernels{};
  unrolled<kTileEncodingCount>(
      [&](auto encoding) { kernels[encoding] = tile_kernels_of<S, static_cast<TileEncoding>(encoding())>(); });
  return kernels;
}

}  // namespace hearth::cpu
