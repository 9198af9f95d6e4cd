#include "model/layers/mamba2.h"

#include "model/layers/state_weights.h"

namespace hearth {

Mamba2Weights plan_weights(WeightPlan& plan, const Mamba2Config& c, const TensorNames& n, const LayerPlace& place) {
  const uint32_t i = place.layer, rows = c.width() + c.channels() + c.heads;
  const auto name = [&](const std::string& pattern) { return in_layer(pattern, i); };
  Mamba2Weights w;
  w.input = plan.matrix(MatrixRole::stacked, {{name(n.state_input), rows}}, place.hidden, {i});
  w.input_bias = plan.bias({{name(n.state_input_bias), rows}}, i);
  w.convolution = plan_convolution(plan, n, c.channels(), c.kernel, i);
  w.state = plan_state(plan, n, {.heads = c.heads, .norm_groups = c.groups, .norm_group = c.width() / c.groups}, i);
  w.output = plan.matrix(MatrixRole::stacked, {{name(n.state_output), place.hidden}}, c.width(), {i});
  w.output_bias = plan.bias({{name(n.state_output_bias), place.hidden}}, i);
  return w;
}

TensorId record_mixer(Recorder& r, const Mamba2Config& c, const Mamba2Weights& w, float norm_epsilon,
                      CacheLayerId cache, TensorId in) {
  const uint32_t x = c.width(), steps = x + c.channels();
  const TensorId projected = r.tensor("projected", steps + c.heads), convolved = r.tensor("convolved", c.channels());
  const TensorId answers = r.tensor("state_answers", c.width()), mixed = r.tensor("mixed", c.width());
  r.emit(Linear{.in = in, .weight = w.input, .bias = w.input_bias, .out = projected});
  r.emit(CausalConvolution{.in = projected,
                           .first = x,
                           .channels = c.channels(),
                           .kernel = c.kernel,
                           .weight = w.convolution.weight,
                           .bias = w.convolution.bias,
                           .silu = true,
                           .layer = cache,
                           .out = convolved});
  r.emit(LinearAttention{.rule = StateRule::selective,
                         .in = convolved,
                         .q_first = c.width() + c.keys(),
                         .k_first = c.width(),
                         .v_first = 0,
                         .rates = projected,
                         .a_first = steps,
                         .heads = c.heads,
                         .key_heads = c.groups,
                         .key_dim = c.state_dim,
                         .value_dim = c.head_dim,
                         .decay_rate = w.state.decay_rate,
                         .step_bias = w.state.step_bias,
                         .least_step = c.least_step,
                         .skip = w.state.skip,
                         .layer = cache,
                         .state_first = static_cast<uint32_t>(c.convolution_values()),
                         .out = answers});
  r.emit(GatedNorm{.in = answers,
                   .gates = projected,
                   .gate_first = true,
                   .group = c.width() / c.groups,
                   .weight_for_each_group = true,
                   .weight = w.state.norm,
                   .epsilon = norm_epsilon,
                   .out = mixed});
  return mixed;
}

}  // namespace hearth
