#include "tensor/scale_search.h"

#include <algorithm>
#include <cmath>

#include "tensor/float16.h"

namespace hearth {
namespace {

constexpr float kMaxF16 = 65504.0f;
constexpr int kSteps = 9;

/// What linear least squares needs to know of the codes q that (value - minimum) * inverse rounds to.
struct Sums {
  float w = 0, wx = 0, wq = 0, wxq = 0, wqq = 0;
};

Sums sums_of(std::span<const float> values, std::span<const float> weights, float minimum, float inverse, float lowest,
             float highest) {
  // Independent sums side by side, as the compiler may not reorder one.
  float w[kScaleSearchLanes] = {}, wx[kScaleSearchLanes] = {}, wq[kScaleSearchLanes] = {};
  float wxq[kScaleSearchLanes] = {}, wqq[kScaleSearchLanes] = {};
  for (size_t i = 0; i < values.size(); i += kScaleSearchLanes) {
    for (size_t lane = 0; lane < kScaleSearchLanes; ++lane) {
      const float x = values[i + lane], weight = weights[i + lane];
      const float q = static_cast<float>(nearest_code((x - minimum) * inverse, lowest, highest));
      w[lane] += weight;
      wx[lane] += weight * x;
      wq[lane] += weight * q;
      wxq[lane] += weight * x * q;
      wqq[lane] += weight * q * q;
    }
  }
  Sums sums;
  for (size_t lane = 0; lane < kScaleSearchLanes; ++lane) {
    sums.w += w[lane], sums.wx += wx[lane], sums.wq += wq[lane], sums.wxq += wxq[lane], sums.wqq += wqq[lane];
  }
  return sums;
}

/// An approximation and by how much its squared error is less than that of all zeros.
struct Fit {
  Affine affine;
  float gain = 0;
};

Fit fit_scale(const Sums& sums) {
  if (!(sums.wqq > 0)) return {};
  const float scale = sums.wxq / sums.wqq;
  return {{scale, 0}, scale * sums.wxq};
}

Fit fit_affine(const Sums& sums, bool minimum_at_most_zero) {
  const float determinant = sums.w * sums.wqq - sums.wq * sums.wq;
  if (!(determinant > 0)) return {};
  const Affine fitted{(sums.w * sums.wxq - sums.wx * sums.wq) / determinant,
                      (sums.wqq * sums.wx - sums.wq * sums.wxq) / determinant};
  if (minimum_at_most_zero && fitted.minimum > 0) return fit_scale(sums);
  return {fitted, fitted.scale * sums.wxq + fitted.minimum * sums.wx};
}

}  // namespace

float find_scale(std::span<const float> values, std::span<const float> weights, int lowest, int highest) {
  float extreme = 0;
  for (const float value : values) {
    if (std::abs(value) > std::abs(extreme)) extreme = value;
  }
  if (extreme == 0) return 0;

  // How far the extreme lies from zero, in codes: from a little beyond the longer end (it is cut off, the others get
  // finer steps) to well inside it. The range may be lopsided, so the sign matters.
  const float longest = static_cast<float>(std::max(-lowest, highest));
  Fit best;
  for (int step = 0; step < kSteps; ++step) {
    const float reach = longest * (1.08f - 0.04f * static_cast<float>(step));
    for (const float signed_reach : {reach, -reach}) {
      const Fit fit = fit_scale(
          sums_of(values, weights, 0, signed_reach / extreme, static_cast<float>(lowest), static_cast<float>(highest)));
      if (fit.gain > best.gain) best = fit;
    }
  }
  return best.affine.scale;
}

Affine find_affine(std::span<const float> values, std::span<const float> weights, int highest,
                   bool minimum_at_most_zero) {
  const auto [smallest, largest] = std::minmax_element(values.begin(), values.end());
  const float start = minimum_at_most_zero ? std::min(0.0f, *smallest) : *smallest;
  const float range = *largest - start;
  if (!(range > 0)) return {0, start};

  const float high = static_cast<float>(highest);
  Fit best{{range / high, start}, 0};
  for (int step = 0; step < kSteps; ++step) {
    Affine candidate{range / (high * (1.2f - 0.04f * static_cast<float>(step))), start};
    for (int round = 0; round < 2 && candidate.scale > 0; ++round) {
      const Sums sums = sums_of(values, weights, candidate.minimum, 1 / candidate.scale, 0, high);
      const Fit fit = fit_affine(sums, minimum_at_most_zero);
      if (fit.gain > best.gain && fit.affine.scale > 0) best = fit;
      candidate = fit.affine;
    }
  }
  return best.affine;
}

uint16_t scale_to_f16(float scale) {
  const uint16_t bits = f32_to_f16(std::clamp(scale, -kMaxF16, kMaxF16));
  const bool vanished = scale != 0 && (bits & 0x7fff) == 0;
  return vanished ? bits | 1 : bits;
}

}  // namespace hearth
