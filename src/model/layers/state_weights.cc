#include "model/layers/state_weights.h"

#include <cmath>

namespace hearth {
namespace {

/// From [channels][kernel] to [kernel][channels].
std::vector<float> turned(const std::vector<float>& values, uint32_t channels, uint32_t kernel) {
  std::vector<float> out(values.size());
  for (size_t i = 0; i < values.size(); ++i) out[i % kernel * channels + i / kernel] = values[i];
  return out;
}

}  // namespace

ConvolutionWeights plan_convolution(WeightPlan& plan, const TensorNames& n, uint32_t channels, uint32_t kernel,
                                    uint32_t layer) {
  const auto turn = [=](std::vector<float>& values) { values = turned(values, channels, kernel); };
  return {.weight = plan.vector(in_layer(n.convolution, layer), {{channels, kernel}}, layer, turn),
          .bias = plan.bias({{in_layer(n.convolution_bias, layer), channels}}, layer)};
}

StateWeights plan_state(WeightPlan& plan, const TensorNames& n, const StateSizes& sizes, uint32_t layer) {
  const auto of_heads = [&](const std::string& name, const WeightPlan::Change& change = {}) {
    return plan.vector(in_layer(name, layer), {{sizes.heads}}, layer, change);
  };
  const auto rate_of_log = [](std::vector<float>& values) {
    for (float& value : values) value = static_cast<float>(-std::exp(double{value}));
  };
  const std::vector<std::vector<int64_t>> norms = {{int64_t{sizes.norm_groups} * sizes.norm_group},
                                                   {sizes.norm_groups, sizes.norm_group}};
  return {.decay_rate = n.decay_rate.empty() ? of_heads(n.decay_log, rate_of_log) : of_heads(n.decay_rate),
          .step_bias = of_heads(n.step_bias),
          .skip = n.skip.empty() ? std::nullopt : std::optional(of_heads(n.skip)),
          .norm = plan.vector(in_layer(n.state_norm, layer), norms, layer)};
}

}  // namespace hearth
