#pragma once

#include "model/decoder_config.h"

namespace hearth {

/// Frequencies theta^(-2i/head_dim) for the first `pairs` pairs of a head, and 0 for the others, which do not turn: the
/// pairs stay half a head apart (Gemma 4's proportional rope).
std::vector<float> proportional_inverse_frequencies(double theta, uint32_t head_dim, uint32_t pairs);

/// Linear interpolation of positions: all frequencies divided by `factor` (arXiv 2306.15595).
void scale_linear(RopeSpec& rope, double factor);

/// Llama 3.1's scaling: long wavelengths are divided by `factor`, short ones kept, those between interpolated.
struct Llama3Scaling {
  double factor = 1;
  double low_frequency_factor = 1;
  double high_frequency_factor = 4;
  double original_context = 8192;
};
void scale_llama3(RopeSpec& rope, const Llama3Scaling& scaling);

/// YaRN (arXiv 2309.00071): frequencies that turn more than beta_fast times over the original context are kept, those
/// below beta_slow divided by `factor`, with a linear ramp over the dimensions between.
struct YarnScaling {
  double factor = 1;
  double beta_fast = 32;
  double beta_slow = 1;
  double original_context = 4096;
  double magnitude = 1;
  bool whole_dimensions = true;  ///< the ramp's ends are rounded outward to whole dimensions
};
void scale_yarn(RopeSpec& rope, double theta, uint32_t rotary_dim, const YarnScaling& scaling);

/// 0.1 scale ln(factor) + 1, YaRN's factor on cos and sin.
float yarn_magnitude(double factor, double scale = 1);

}  // namespace hearth
