#pragma once

#include "device/cpu/kernels/vector_math.h"

namespace hearth::cpu {

/// The positions that at least one row sees.
struct VisibleRange {
  unsigned first;
  unsigned end;
};

template <class S>
HEARTH_INLINE VisibleRange visible_to_any(const SplitInput& in) {
  VisibleRange range{kSplitTokens, 0};
  for (unsigned r = 0; r < in.rows; ++r) {
    if (in.first_visible[r] >= in.end_visible[r]) continue;
    range.first = in.first_visible[r] < range.first ? in.first_visible[r] : range.first;
    range.end = in.end_visible[r] > range.end ? in.end_visible[r] : range.end;
  }
  return range;
}

/// Vectors computed side by side, so that enough independent sums are in flight.
constexpr unsigned side_by_side(unsigned rows) { return rows == 1 ? 4 : rows <= 4 ? 2 : 1; }

/// scores[r][position] = q.k for kVectors vectors of positions and the rows from `row` on: sums over the dimensions in
/// order.
template <class S, unsigned kRows, unsigned kVectors>
HEARTH_INLINE void score_vectors(const SplitInput& in, unsigned row, unsigned first, float* scores) {
  const uint16_t* keys[kVectors];
  typename S::F acc[kRows][kVectors];
#pragma GCC unroll 4
  for (unsigned v = 0; v < kVectors; ++v) {
    const unsigned position = first + v * S::kLanes;
    keys[v] = in.key_blocks[position / 16] + position % 16;
#pragma GCC unroll 8
    for (unsigned r = 0; r < kRows; ++r) acc[r][v] = S::zero();
  }
  const float* q = in.queries + row;
  for (unsigned d = 0; d < in.head_dim; ++d) {
#pragma GCC unroll 4
    for (unsigned v = 0; v < kVectors; ++v) {
      const auto k = S::load_f16(keys[v] + d * 16);
#pragma GCC unroll 8
      for (unsigned r = 0; r < kRows; ++r) acc[r][v] = S::fma(S::set(q[r]), k, acc[r][v]);
    }
    q += kQueryRows;
  }
#pragma GCC unroll 8
  for (unsigned r = 0; r < kRows; ++r) {
    for (unsigned v = 0; v < kVectors; ++v)
      S::store(scores + (row + r) * kSplitTokens + first + v * S::kLanes, acc[r][v]);
  }
}

template <class S, unsigned kRows>
HEARTH_INLINE void score(const SplitInput& in, unsigned row, unsigned first, unsigned end, float* scores) {
  constexpr unsigned kVectors = side_by_side(kRows);
  unsigned p = first;
  for (; p + kVectors * S::kLanes <= end; p += kVectors * S::kLanes) {
    score_vectors<S, kRows, kVectors>(in, row, p, scores);
  }
  for (; p < end; p += S::kLanes) score_vectors<S, kRows, 1>(in, row, p, scores);
}

/// scores[r][position] = q.k for kPositions latent rows and the query rows from `row` on: sums over the dimensions in
/// order, lane by lane, then over the lanes.
template <class S, unsigned kRows, unsigned kPositions>
HEARTH_INLINE void score_latents(const SplitInput& in, unsigned row, unsigned position, float* scores) {
  const uint16_t* keys[kPositions];
  typename S::F acc[kRows][kPositions];
#pragma GCC unroll 4
  for (unsigned p = 0; p < kPositions; ++p) {
    keys[p] = in.key_blocks[(position + p) / 16] + (position + p) % 16 * in.head_dim;
#pragma GCC unroll 8
    for (unsigned r = 0; r < kRows; ++r) acc[r][p] = S::zero();
  }
  const float* q = in.queries + row * in.head_dim;
  for (unsigned d = 0; d < in.head_dim; d += S::kLanes) {
    typename S::F k[kPositions];
#pragma GCC unroll 4
    for (unsigned p = 0; p < kPositions; ++p) k[p] = S::load_f16(keys[p] + d);
#pragma GCC unroll 8
    for (unsigned r = 0; r < kRows; ++r) {
      const auto x = S::load(q + r * in.head_dim + d);
#pragma GCC unroll 4
      for (unsigned p = 0; p < kPositions; ++p) acc[r][p] = S::fma(x, k[p], acc[r][p]);
    }
  }
#pragma GCC unroll 8
  for (unsigned r = 0; r < kRows; ++r) {
    for (unsigned p = 0; p < kPositions; ++p) {
      scores[(row + r) * kSplitTokens + position + p] = S::reduce_add(acc[r][p]);
    }
  }
}

template <class S, unsigned kRows>
HEARTH_INLINE void score_latents(const SplitInput& in, unsigned row, VisibleRange visible, float* scores) {
  constexpr unsigned kPositions = 2;
  unsigned p = visible.first;
  for (; p + kPositions <= visible.end; p += kPositions) score_latents<S, kRows, kPositions>(in, row, p, scores);
  for (; p < visible.end; ++p) score_latents<S, kRows, 1>(in, row, p, scores);
}

/// Turns a row's scores into exp(score - highest), zero where the row does not see; returns their sum.
template <class S>
float soften(const SplitInput& in, unsigned row, unsigned first, unsigned end, float* scores, float* highest) {
  const float infinity = __builtin_inff();
  const auto first_visible = S::set_i(static_cast<int32_t>(in.first_visible[row]));
  const auto end_visible = S::set_i(static_cast<int32_t>(in.end_visible[row]));
  const auto capped = S::set(in.softcap);
  const auto inner = S::set(in.softcap > 0 ? in.scale / in.softcap : in.scale);
  auto best = S::set(-infinity);
  for (unsigned p = first; p < end; p += S::kLanes) {
    auto x = S::mul(S::load(scores + p), inner);
    if (in.softcap > 0) x = S::mul(capped, tanh<S>(x));
    const auto position = S::add_i(S::iota(), S::set_i(static_cast<int32_t>(p)));
    x = S::select(S::less_i(position, first_visible), S::set(-infinity), x);
    x = S::select(S::less_i(position, end_visible), x, S::set(-infinity));
    S::store(scores + p, x);
    best = S::max(best, x);
  }
  *highest = S::reduce_max(best);
  const auto shift = S::set(*highest);
  auto sum = S::zero();
  for (unsigned p = first; p < end; p += S::kLanes) {
    const auto x = exp<S>(S::sub(S::load(scores + p), shift));
    S::store(scores + p, x);
    sum = S::add(sum, x);
  }
  return S::reduce_add(sum);
}

/// mixed[r][d] = sum over positions in order of weight[r][position] * v[position][d], for kVectors vectors of d.
template <class S, unsigned kRows, unsigned kVectors>
HEARTH_INLINE void mix_vectors(const SplitInput& in, unsigned row, VisibleRange visible, const float* weights,
                               unsigned d, float* mixed) {
  typename S::F acc[kRows][kVectors];
#pragma GCC unroll 8
  for (unsigned r = 0; r < kRows; ++r) {
    for (unsigned v = 0; v < kVectors; ++v) acc[r][v] = S::zero();
  }
  for (unsigned p = visible.first; p < visible.end;) {
    const unsigned next = p / 16 * 16 + 16;
    const unsigned end = next < visible.end ? next : visible.end;
    const uint16_t* values = in.value_blocks[p / 16] + p % 16 * in.value_stride + d;
    for (; p < end; ++p) {
#pragma GCC unroll 4
      for (unsigned v = 0; v < kVectors; ++v) {
        const auto x = S::load_f16(values + v * S::kLanes);
#pragma GCC unroll 8
        for (unsigned r = 0; r < kRows; ++r) {
          acc[r][v] = S::fma(S::set(weights[(row + r) * kSplitTokens + p]), x, acc[r][v]);
        }
      }
      values += in.value_stride;
    }
  }
#pragma GCC unroll 8
  for (unsigned r = 0; r < kRows; ++r) {
    for (unsigned v = 0; v < kVectors; ++v) S::store(mixed + (row + r) * in.value_dim + d + v * S::kLanes, acc[r][v]);
  }
}

template <class S, unsigned kRows>
HEARTH_INLINE void mix(const SplitInput& in, unsigned row, VisibleRange visible, const float* weights, float* mixed) {
  constexpr unsigned kVectors = side_by_side(kRows);
  unsigned d = 0;
  for (; d + kVectors * S::kLanes <= in.value_dim; d += kVectors * S::kLanes) {
    mix_vectors<S, kRows, kVectors>(in, row, visible, weights, d, mixed);
  }
  for (; d < in.value_dim; d += S::kLanes) mix_vectors<S, kRows, 1>(in, row, visible, weights, d, mixed);
}

template <class S, unsigned kRows, bool kLatent>
HEARTH_INLINE void score_all(const SplitInput& in, unsigned row, VisibleRange visible, float* scores) {
  if constexpr (kLatent) {
    score_latents<S, kRows>(in, row, visible, scores);
  } else {
    const unsigned first = visible.first / S::kLanes * S::kLanes;
    score<S, kRows>(in, row, first, (visible.end + S::kLanes - 1) / S::kLanes * S::kLanes, scores);
  }
}

template <class S, unsigned kRows, bool kLatent>
void attend_rows(const SplitInput& in, const SplitOutput& out, float* scratch) {
  // Where registers are few, rows beyond four make a second pass.
  constexpr unsigned kOnce = S::kRegisters == 32 || kRows < 4 ? kRows : 4;
  const VisibleRange visible = visible_to_any<S>(in);
  const unsigned first = visible.first / S::kLanes * S::kLanes;
  const unsigned end = (visible.end + S::kLanes - 1) / S::kLanes * S::kLanes;
  score_all<S, kOnce, kLatent>(in, 0, visible, scratch);
  if constexpr (kRows > kOnce) score_all<S, kRows - kOnce, kLatent>(in, kOnce, visible, scratch);
  for (unsigned r = 0; r < kRows; ++r) {
    float* weights = scratch + r * kSplitTokens;
    if (in.first_visible[r] < in.end_visible[r]) {
      out.sum[r] = soften<S>(in, r, first, end, weights, &out.highest[r]);
    } else {
      out.sum[r] = 0;
      out.highest[r] = -__builtin_inff();
      for (unsigned p = first; p < end; p += S::kLanes) S::store(weights + p, S::zero());
    }
  }
  mix<S, kOnce>(in, 0, visible, scratch, out.mixed);
  if constexpr (kRows > kOnce) mix<S, kRows - kOnce>(in, kOnce, visible, scratch, out.mixed);
}

template <class S, bool kLatent>
void attend_split(const SplitInput& in, const SplitOutput& out, float* scratch) {
  switch (in.rows) {
    case 1:
      return attend_rows<S, 1, kLatent>(in, out, scratch);
    case 2:
      return attend_rows<S, 2, kLatent>(in, out, scratch);
    case 3:
      return attend_rows<S, 3, kLatent>(in, out, scratch);
    case 4:
      return attend_rows<S, 4, kLatent>(in, out, scratch);
    case 5:
      return attend_rows<S, 5, kLatent>(in, out, scratch);
    case 6:
      return attend_rows<S, 6, kLatent>(in, out, scratch);
    case 7:
      return attend_rows<S, 7, kLatent>(in, out, scratch);
    default:
      return attend_rows<S, 8, kLatent>(in, out, scratch);
  }
}

/// e^x of one number by the same code as of many.
template <class S>
HEARTH_INLINE float exp_one(float x) {
  float lanes[S::kLanes];
  S::store(lanes, exp<S>(S::set(x)));
  return lanes[0];
}

template <class S>
void merge_split(const SplitOutput& total, const SplitOutput& part, unsigned rows, unsigned value_dim) {
  using F = typename S::F;
  for (unsigned r = 0; r < rows; ++r) {
    if (part.sum[r] == 0) continue;
    float* mixed = total.mixed + r * value_dim;
    const float* more = part.mixed + r * value_dim;
    if (total.sum[r] == 0) {
      total.sum[r] = part.sum[r];
      total.highest[r] = part.highest[r];
      map<S>(
          more, mixed, value_dim, [](F x) __attribute__((always_inline)) { return x; });
      continue;
    }
    const float highest = total.highest[r] > part.highest[r] ? total.highest[r] : part.highest[r];
    const float a = exp_one<S>(total.highest[r] - highest);
    const float b = exp_one<S>(part.highest[r] - highest);
    total.highest[r] = highest;
    total.sum[r] = total.sum[r] * a + part.sum[r] * b;
    const F fa = S::set(a);
    const F fb = S::set(b);
    map2<S>(
        mixed, more, mixed,
        value_dim, [&](F x, F y) __attribute__((always_inline)) { return S::fma(y, fb, S::mul(x, fa)); });
  }
}

template <class S>
void finish_row(const SplitOutput& total, unsigned row, unsigned value_dim, const float* sink, float* out) {
  using F = typename S::F;
  float factor = 1.0F / total.sum[row];
  if (sink != nullptr) {
    const float highest = total.highest[row] > *sink ? total.highest[row] : *sink;
    const float a = exp_one<S>(total.highest[row] - highest);
    factor = a / (total.sum[row] * a + exp_one<S>(*sink - highest));
  }
  const F f = S::set(factor);
  map<S>(
      total.mixed + row * value_dim, out, value_dim, [&](F x) __attribute__((always_inline)) { return S::mul(x, f); });
}

}  // namespace hearth::cpu
