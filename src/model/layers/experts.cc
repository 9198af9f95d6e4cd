#include "model/layers/experts.h"

#include "model/layers/dense.h"

namespace hearth {
namespace {

DenseConfig shared_config(const ExpertsConfig& c) { return {.width = c.shared_width, .activation = c.activation}; }

}  // namespace

ExpertsWeights plan_weights(WeightPlan& plan, const ExpertsConfig& c, const TensorNames& n, const LayerPlace& place) {
  const uint32_t i = place.layer, hidden = place.hidden;
  const auto name = [&](const std::string& pattern) { return in_layer(pattern, i); };
  ExpertsWeights w;
  w.router = plan.matrix(MatrixRole::stacked, {{name(n.router), c.experts}}, hidden, {i});
  w.router_bias = plan.bias({{name(n.router_bias), c.experts}}, i);
  w.correction = plan.bias({{name(n.router_correction), c.experts}}, i);
  w.gate = plan.experts(name(n.expert_gate), c.experts, c.width, hidden, i);
  w.up = plan.experts(name(n.expert_up), c.experts, c.width, hidden, i);
  w.down = plan.experts(name(n.expert_down), c.experts, hidden, c.width, i);
  if (c.shared_width > 0) {
    TensorNames shared;
    shared.gate = n.shared_gate;
    shared.up = n.shared_up;
    shared.down = n.shared_down;
    w.shared = plan_weights(plan, shared_config(c), shared, place);
  }
  return w;
}

void record_feed_forward(Recorder& r, const ExpertsConfig& c, const ExpertsWeights& w, TensorId in, TensorId branch) {
  const uint32_t hidden = r.width(branch);
  const TensorId scores = r.tensor("router_scores", c.experts), routes = r.tensor("routes", 2 * c.chosen);
  const TensorId activated = r.tensor("expert_activated", c.chosen * c.width);
  const TensorId mixed = r.tensor("expert_outputs", c.chosen * hidden);
  r.emit(Linear{.in = in, .weight = w.router, .bias = w.router_bias, .out = scores});
  r.emit(ChooseExperts{.scores = scores,
                       .kind = c.router,
                       .experts = c.experts,
                       .chosen = c.chosen,
                       .groups = c.groups,
                       .chosen_groups = c.chosen_groups,
                       .group_raters = c.group_raters,
                       .normalise = c.normalise,
                       .scale = c.scale,
                       .correction = w.correction,
                       .out = routes});
  r.emit(ExpertGateUp{.in = in,
                      .routes = routes,
                      .gate = w.gate,
                      .up = w.up,
                      .experts = c.experts,
                      .chosen = c.chosen,
                      .activation = c.activation,
                      .out = activated});
  r.emit(ExpertLinear{
      .in = activated, .routes = routes, .weight = w.down, .experts = c.experts, .chosen = c.chosen, .out = mixed});
  std::optional<TensorId> shared;
  if (w.shared) {
    shared = r.tensor("shared", hidden);
    record_feed_forward(r, shared_config(c), *w.shared, in, *shared);
  }
  r.emit(CombineExperts{.in = mixed, .routes = routes, .chosen = c.chosen, .shared = shared, .out = branch});
}

}  // namespace hearth
