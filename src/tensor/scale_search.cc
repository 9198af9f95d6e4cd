#include "tensor/scale_search.h"

#include <algorithm>
#include <cmath>

#include "tensor/float16.h"

namespace hearth {
namespace {

constexpr float kMaxF16 = 65504.0f;

/// Σ weight * (value - scale * q - minimum)² with the best q for each value.
float squared_error(std::span<const float> values, std::span<const float> weights, Affine affine, float lowest,
                    float highest) {
  const float inverse = affine.scale == 0 ? 0 : 1 / affine.scale;
  float sum = 0;
  for (size_t i = 0; i < values.size(); ++i) {
    const float q = static_cast<float>(nearest_code((values[i] - affine.minimum) * inverse, lowest, highest));
    const float difference = values[i] - affine.minimum - affine.scale * q;
    sum += weights[i] * difference * difference;
  }
  return sum;
}

/// The best scale for the codes that value * inverse rounds to: Σwxq / Σwqq.
float fit_scale(std::span<const float> values, std::span<const float> weights, float inverse, float lowest,
                float highest) {
  float xq = 0, qq = 0;
  for (size_t i = 0; i < values.size(); ++i) {
    const float q = static_cast<float>(nearest_code(values[i] * inverse, lowest, highest));
    xq += weights[i] * values[i] * q;
    qq += weights[i] * q * q;
  }
  return qq > 0 ? xq / qq : 0;
}

/// Linear regression of the values on the codes that (value - minimum) * inverse rounds to.
Affine fit_affine(std::span<const float> values, std::span<const float> weights, Affine start, float highest,
                  bool minimum_at_most_zero) {
  const float inverse = 1 / start.scale;
  float w = 0, wx = 0, wq = 0, wxq = 0, wqq = 0;
  for (size_t i = 0; i < values.size(); ++i) {
    const float q = static_cast<float>(nearest_code((values[i] - start.minimum) * inverse, 0, highest));
    w += weights[i];
    wx += weights[i] * values[i];
    wq += weights[i] * q;
    wxq += weights[i] * values[i] * q;
    wqq += weights[i] * q * q;
  }
  const float determinant = w * wqq - wq * wq;
  if (!(determinant > 0)) return start;
  Affine fitted{(w * wxq - wx * wq) / determinant, (wqq * wx - wq * wxq) / determinant};
  if (minimum_at_most_zero && fitted.minimum > 0) fitted = {wqq > 0 ? wxq / wqq : 0, 0};
  return fitted.scale > 0 ? fitted : start;
}

}  // namespace

float find_scale(std::span<const float> values, std::span<const float> weights, int lowest, int highest) {
  float extreme = 0;
  for (const float value : values) {
    if (std::abs(value) > std::abs(extreme)) extreme = value;
  }
  if (extreme == 0) return 0;

  const float low = static_cast<float>(lowest), high = static_cast<float>(highest);
  float best_scale = 0, best_error = squared_error(values, weights, {}, low, high);
  // How far the extreme lies from zero, in codes: from a little beyond the longer end (it is cut off, the others get
  // finer steps) to a little inside the shorter one. The range is lopsided, so the sign matters.
  const float longest = static_cast<float>(std::max(-lowest, highest));
  constexpr int kSteps = 9;
  for (int step = 0; step < kSteps; ++step) {
    const float reach = longest * 1.08f - static_cast<float>(step) * longest * 0.04f;
    for (const float signed_reach : {reach, -reach}) {
      const float scale = fit_scale(values, weights, signed_reach / extreme, low, high);
      const float error = squared_error(values, weights, {scale, 0}, low, high);
      if (error < best_error) best_scale = scale, best_error = error;
    }
  }
  return best_scale;
}

Affine find_affine(std::span<const float> values, std::span<const float> weights, int highest,
                   bool minimum_at_most_zero) {
  const auto [smallest, largest] = std::minmax_element(values.begin(), values.end());
  const float start = minimum_at_most_zero ? std::min(0.0f, *smallest) : *smallest;
  const float range = *largest - start;
  if (!(range > 0)) return {0, start};

  const float high = static_cast<float>(highest);
  Affine best{0, start};
  float best_error = squared_error(values, weights, best, 0, high);
  constexpr int kSteps = 9;
  for (int step = 0; step < kSteps; ++step) {
    Affine candidate{range / (high * (1.2f - 0.04f * static_cast<float>(step))), start};
    for (int round = 0; round < 2; ++round) {
      candidate = fit_affine(values, weights, candidate, high, minimum_at_most_zero);
      const float error = squared_error(values, weights, candidate, 0, high);
      if (error < best_error) best = candidate, best_error = error;
    }
  }
  return best;
}

uint16_t scale_to_f16(float scale) {
  const uint16_t bits = f32_to_f16(std::clamp(scale, -kMaxF16, kMaxF16));
  const bool vanished = scale != 0 && (bits & 0x7fff) == 0;
  return vanished ? bits | 1 : bits;
}

}  // namespace hearth
