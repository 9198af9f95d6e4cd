#include "model/layers/short_convolution.h"

#include "model/layers/state_weights.h"

namespace hearth {

ShortConvolutionWeights plan_weights(WeightPlan& plan, const ShortConvolutionConfig& c, const TensorNames& n,
                                     const LayerPlace& place) {
  const uint32_t i = place.layer;
  const auto name = [&](const std::string& pattern) { return in_layer(pattern, i); };
  ShortConvolutionWeights w;
  w.input = plan.matrix(MatrixRole::stacked, {{name(n.state_input), 3 * c.channels}}, place.hidden, {i});
  w.input_bias = plan.bias({{name(n.state_input_bias), 3 * c.channels}}, i);
  w.convolution = plan_convolution(plan, n, c.channels, c.kernel, i);
  w.output = plan.matrix(MatrixRole::stacked, {{name(n.state_output), place.hidden}}, c.channels, {i});
  w.output_bias = plan.bias({{name(n.state_output_bias), place.hidden}}, i);
  return w;
}

TensorId record_mixer(Recorder& r, const ShortConvolutionConfig& c, const ShortConvolutionWeights& w, float,
                      CacheLayerId cache, TensorId in) {
  const TensorId projected = r.tensor("projected", 3 * c.channels), mixed = r.tensor("mixed", c.channels);
  r.emit(Linear{.in = in, .weight = w.input, .bias = w.input_bias, .out = projected});
  r.emit(CausalConvolution{.in = projected,
                           .channels = c.channels,
                           .kernel = c.kernel,
                           .gated = true,
                           .weight = w.convolution.weight,
                           .bias = w.convolution.bias,
                           .layer = cache,
                           .out = mixed});
  return mixed;
}

}  // namespace hearth
