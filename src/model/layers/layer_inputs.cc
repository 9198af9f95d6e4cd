#include "model/layers/layer_inputs.h"

#include <cmath>
#include <numbers>

namespace hearth {

LayerInputsWeights plan_layer_inputs(WeightPlan& plan, const DecoderConfig& c, const TensorNames& n) {
  const LayerInputsConfig& inputs = *c.layer_inputs;
  LayerInputsWeights w;
  w.embedding = plan.matrix(MatrixRole::stacked, {{n.layer_inputs_embedding, c.vocabulary}}, inputs.all(), {0});
  w.projection = plan.matrix(MatrixRole::stacked, {{n.layer_inputs_projection, inputs.all()}}, c.hidden, {0});
  w.norm = plan.vector(n.layer_inputs_norm, {{inputs.width}}, 0);
  return w;
}

LayerInputWeights plan_weights(WeightPlan& plan, const LayerInputsConfig& c, const TensorNames& n,
                               const LayerPlace& place) {
  const uint32_t i = place.layer, hidden = place.hidden;
  LayerInputWeights w;
  w.gate = plan.matrix(MatrixRole::stacked, {{in_layer(n.layer_input_gate, i), c.width}}, hidden, {i});
  w.projection = plan.matrix(MatrixRole::stacked, {{in_layer(n.layer_input_projection, i), hidden}}, c.width, {i});
  w.post_norm = plan.vector(in_layer(n.layer_input_post_norm, i), {{hidden}}, i);
  return w;
}

TensorId record_layer_inputs(Recorder& r, const DecoderConfig& c, const LayerInputsWeights& w, TensorId embedded) {
  const LayerInputsConfig& inputs = *c.layer_inputs;
  const TensorId all = r.tensor("layer_inputs", inputs.all()), projected = r.tensor("projected_inputs", inputs.all());
  const float half = std::numbers::sqrt2_v<float> / 2;
  r.emit(Embed{.table = w.embedding, .scale = half * std::sqrt(static_cast<float>(inputs.width)), .out = all});
  r.emit(Linear{.in = embedded, .weight = w.projection, .out = projected});
  // The norm takes 1 / sqrt(hidden) back, but for what it adds before the root.
  r.emit(AddNorm{.residual = all,
                 .branch = projected,
                 .post_norm = w.norm,
                 .branch_scale = half,
                 .part = inputs.width,
                 .epsilon = c.norm_epsilon * static_cast<float>(c.hidden)});
  return all;
}

void record_layer_input(Recorder& r, const LayerInputsConfig& c, const LayerInputWeights& w, uint32_t layer,
                        TensorId inputs, TensorId residual, TensorId branch) {
  const TensorId gate = r.tensor("input_gate", c.width), gated = r.tensor("gated_input", c.width);
  r.emit(Linear{.in = residual, .weight = w.gate, .out = gate});
  r.emit(Gate{.in = inputs, .first = layer * c.width, .gate = gate, .activation = c.activation, .out = gated});
  r.emit(Linear{.in = gated, .weight = w.projection, .out = branch});
}

}  // namespace hearth
