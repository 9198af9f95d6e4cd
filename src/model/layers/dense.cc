#include "model/layers/dense.h"

#include <cmath>

namespace hearth {

namespace {

double softplus(double x) { return std::log1p(std::exp(x)); }

Xielu read_xielu(WeightPlan& plan, const TensorNames& n, uint32_t layer) {
  const auto number = [&](const std::string& name) { return plan.scalar(in_layer(name, layer)); };
  return xielu_of(number(n.xielu_positive), number(n.xielu_negative), number(n.xielu_linear), number(n.xielu_bound));
}

}  // namespace

Xielu xielu_of(double positive, double negative, double linear, double bound) {
  return {.positive = static_cast<float>(softplus(positive)),
          .negative = static_cast<float>(linear + softplus(negative)),
          .linear = static_cast<float>(linear),
          .bound = static_cast<float>(bound)};
}

DenseWeights plan_weights(WeightPlan& plan, const DenseConfig& c, const TensorNames& n, const LayerPlace& place) {
  const uint32_t i = place.layer;
  const auto name = [&](const std::string& pattern) { return in_layer(pattern, i); };
  DenseWeights w;
  const std::string gate = name(n.gate), up = name(n.up), fused = name(n.gate_up);
  if (c.gated) {
    std::vector<TensorRows> parts = {{gate, c.width}, {up, c.width}};
    if (!fused.empty()) parts = {{fused, c.width, 0, 2 * c.width}, {fused, c.width, c.width, 2 * c.width}};
    w.gate_up = plan.matrix(MatrixRole::gate_up, parts, place.hidden, {i});
    w.gate_up_bias = plan.bias({{name(n.gate_bias), c.width}, {name(n.up_bias), c.width}}, i);
  } else {
    w.gate_up = plan.matrix(MatrixRole::stacked, {{up, c.width}}, place.hidden, {i});
    w.gate_up_bias = plan.bias({{name(n.up_bias), c.width}}, i);
  }
  w.down = plan.matrix(MatrixRole::stacked, {{name(n.down), place.hidden}}, c.width, {i});
  w.down_bias = plan.bias({{name(n.down_bias), place.hidden}}, i);
  w.xielu = n.xielu_positive.empty() ? c.xielu : read_xielu(plan, n, i);
  return w;
}

void record_feed_forward(Recorder& r, const DenseConfig& c, const DenseWeights& w, TensorId in, TensorId branch) {
  const TensorId activated = r.tensor("activated", c.width);
  if (c.gated) {
    r.emit(
        GateUp{.in = in, .gate_up = w.gate_up, .bias = w.gate_up_bias, .activation = c.activation, .out = activated});
  } else {
    const TensorId up = r.tensor("up", c.width);
    r.emit(Linear{.in = in, .weight = w.gate_up, .bias = w.gate_up_bias, .out = up});
    r.emit(Activate{.in = up, .activation = c.activation, .xielu = w.xielu, .out = activated});
  }
  r.emit(Linear{.in = activated, .weight = w.down, .bias = w.down_bias, .out = branch});
}

}  // namespace hearth
