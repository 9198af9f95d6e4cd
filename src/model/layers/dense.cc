#include "model/layers/dense.h"

namespace hearth {

DenseWeights plan_weights(WeightPlan& plan, const DenseConfig& c, const TensorNames& n, const LayerPlace& place) {
  const uint32_t i = place.layer;
  const auto name = [&](const std::string& pattern) { return in_layer(pattern, i); };
  DenseWeights w;
  w.gate_up = plan.matrix(MatrixRole::gate_up, {{name(n.gate), c.width}, {name(n.up), c.width}}, place.hidden, {i});
  w.gate_up_bias = plan.bias({{name(n.gate_bias), c.width}, {name(n.up_bias), c.width}}, i);
  w.down = plan.matrix(MatrixRole::stacked, {{name(n.down), place.hidden}}, c.width, {i});
  w.down_bias = plan.bias({{name(n.down_bias), place.hidden}}, i);
  return w;
}

void record_feed_forward(Recorder& r, const DenseConfig& c, const DenseWeights& w, TensorId in, TensorId branch) {
  const TensorId activated = r.tensor("activated", c.width);
  r.emit(GateUp{.in = in, .gate_up = w.gate_up, .bias = w.gate_up_bias, .activation = c.activation, .out = activated});
  r.emit(Linear{.in = activated, .weight = w.down, .bias = w.down_bias, .out = branch});
}

}  // namespace hearth
