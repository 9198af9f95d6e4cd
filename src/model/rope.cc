#include "model/rope.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace hearth {

std::vector<float> rope_inverse_frequencies(double theta, uint32_t rotary_dim) {
  std::vector<float> frequencies(rotary_dim / 2);
  for (uint32_t i = 0; i < frequencies.size(); ++i) {
    frequencies[i] = static_cast<float>(std::pow(theta, -2.0 * i / rotary_dim));
  }
  return frequencies;
}

std::vector<float> proportional_inverse_frequencies(double theta, uint32_t head_dim, uint32_t pairs) {
  std::vector<float> frequencies = rope_inverse_frequencies(theta, head_dim);
  std::fill(frequencies.begin() + std::min<ptrdiff_t>(pairs, std::ssize(frequencies)), frequencies.end(), 0.0F);
  return frequencies;
}

void scale_linear(RopeSpec& rope, double factor) {
  for (float& frequency : rope.inverse_frequencies) frequency = static_cast<float>(frequency / factor);
}

void scale_llama3(RopeSpec& rope, const Llama3Scaling& scaling) {
  const double longest = scaling.original_context / scaling.low_frequency_factor;
  const double shortest = scaling.original_context / scaling.high_frequency_factor;
  for (float& frequency : rope.inverse_frequencies) {
    const double wavelength = 2 * std::numbers::pi / frequency;
    if (wavelength < shortest) continue;
    const double keep = wavelength > longest ? 0.0
                                             : (scaling.original_context / wavelength - scaling.low_frequency_factor) /
                                                   (scaling.high_frequency_factor - scaling.low_frequency_factor);
    frequency = static_cast<float>((1 - keep) * frequency / scaling.factor + keep * frequency);
  }
}

void scale_yarn(RopeSpec& rope, double theta, uint32_t rotary_dim, const YarnScaling& scaling) {
  const auto dimension_of = [&](double turns) {
    return rotary_dim * std::log(scaling.original_context / (turns * 2 * std::numbers::pi)) / (2 * std::log(theta));
  };
  const auto rounded = [&](double turns, auto&& round) {
    return scaling.whole_dimensions ? round(dimension_of(turns)) : dimension_of(turns);
  };
  const double low = std::max(rounded(scaling.beta_fast, [](double d) { return std::floor(d); }), 0.0);
  double high = std::min(rounded(scaling.beta_slow, [](double d) { return std::ceil(d); }), rotary_dim - 1.0);
  if (high == low) high = low + 0.001;
  for (size_t i = 0; i < rope.inverse_frequencies.size(); ++i) {
    const double divided = std::clamp((static_cast<double>(i) - low) / (high - low), 0.0, 1.0);
    float& frequency = rope.inverse_frequencies[i];
    frequency = static_cast<float>(frequency / scaling.factor * divided + frequency * (1 - divided));
  }
  rope.magnitude = static_cast<float>(scaling.magnitude);
}

float yarn_magnitude(double factor, double scale) {
  return factor <= 1 ? 1.0F : static_cast<float>(0.1 * scale * std::log(factor) + 1.0);
}

}  // namespace hearth
