#include "model/layers/gated_delta.h"

#include "model/layers/state_weights.h"

namespace hearth {
namespace {

/// The rows of q, k, v and z, each of all heads, from a tensor that has them by key head.
std::vector<TensorRows> rows_by_key_head(const GatedDeltaConfig& c, const std::string& name) {
  const uint32_t values = c.values() / c.key_heads, of_head = 2 * c.key_dim + 2 * values;
  std::vector<TensorRows> parts;
  const auto add = [&](uint32_t first, uint32_t rows) {
    for (uint32_t h = 0; h < c.key_heads; ++h) {
      parts.push_back({name, rows, h * of_head + first, c.key_heads * of_head});
    }
  };
  add(0, c.key_dim);
  add(c.key_dim, c.key_dim);
  add(2 * c.key_dim, values);
  add(2 * c.key_dim + values, values);
  return parts;
}

std::vector<TensorRows> input_rows(const GatedDeltaConfig& c, const TensorNames& n, uint32_t layer) {
  const auto name = [&](const std::string& pattern) { return in_layer(pattern, layer); };
  std::vector<TensorRows> parts = {{name(n.state_qkv), c.channels()}, {name(n.state_z), c.values()}};
  if (!n.state_qkvz.empty()) parts = rows_by_key_head(c, name(n.state_qkvz));
  if (n.state_ba.empty()) {
    parts.push_back({name(n.state_b), c.heads});
    parts.push_back({name(n.state_a), c.heads});
  } else {
    parts.push_back({name(n.state_ba), 2 * c.heads});
  }
  return parts;
}

}  // namespace

GatedDeltaWeights plan_weights(WeightPlan& plan, const GatedDeltaConfig& c, const TensorNames& n,
                               const LayerPlace& place) {
  const uint32_t i = place.layer;
  const auto name = [&](const std::string& pattern) { return in_layer(pattern, i); };
  GatedDeltaWeights w;
  w.input = plan.matrix(MatrixRole::stacked, input_rows(c, n, i), place.hidden, {i});
  w.rates_by_key_head = !n.state_ba.empty();
  w.convolution = plan_convolution(plan, n, c.channels(), c.kernel, i);
  w.state = plan_state(plan, n, {.heads = c.heads, .norm_group = c.value_dim}, i);
  w.output = plan.matrix(MatrixRole::stacked, {{name(n.state_output), place.hidden}}, c.values(), {i});
  return w;
}

TensorId record_mixer(Recorder& r, const GatedDeltaConfig& c, const GatedDeltaWeights& w, float norm_epsilon,
                      CacheLayerId cache, TensorId in) {
  const uint32_t z = c.channels(), b = z + c.values(), a = b + c.heads;
  const TensorId projected = r.tensor("projected", a + c.heads), convolved = r.tensor("convolved", c.channels());
  const TensorId answers = r.tensor("state_answers", c.values()), mixed = r.tensor("mixed", c.values());
  r.emit(Linear{.in = in, .weight = w.input, .out = projected});
  r.emit(CausalConvolution{.in = projected,
                           .channels = c.channels(),
                           .kernel = c.kernel,
                           .weight = w.convolution.weight,
                           .bias = w.convolution.bias,
                           .silu = true,
                           .layer = cache,
                           .out = convolved});
  r.emit(LinearAttention{.rule = StateRule::gated_delta,
                         .in = convolved,
                         .q_first = 0,
                         .k_first = c.keys(),
                         .v_first = 2 * c.keys(),
                         .rates = projected,
                         .a_first = a,
                         .b_first = b,
                         .rates_by_key_head = w.rates_by_key_head,
                         .heads = c.heads,
                         .key_heads = c.key_heads,
                         .key_heads_alternate = c.key_heads_alternate,
                         .key_dim = c.key_dim,
                         .value_dim = c.value_dim,
                         .decay_rate = w.state.decay_rate,
                         .step_bias = w.state.step_bias,
                         .layer = cache,
                         .state_first = static_cast<uint32_t>(c.convolution_values()),
                         .out = answers});
  r.emit(GatedNorm{.in = answers,
                   .gates = projected,
                   .first = z,
                   .group = c.value_dim,
                   .weight = w.state.norm,
                   .epsilon = norm_epsilon,
                   .out = mixed});
  return mixed;
}

}  // namespace hearth
