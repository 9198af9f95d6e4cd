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
  w.scales = plan.bias({{name(n.expert_scales), c.experts}}, i);
  const std::string gate_up = name(n.expert_gate_up);
  const bool fused = n.expert_gate.empty() || (!gate_up.empty() && plan.has(gate_up));
  if (fused) {
    w.gate = plan.experts({gate_up, c.width, 0, 2 * c.width}, c.experts, hidden, i);
    w.up = plan.experts({gate_up, c.width, c.width, 2 * c.width}, c.experts, hidden, i);
  } else {
    w.gate = plan.experts(name(n.expert_gate), c.experts, c.width, hidden, i);
    w.up = plan.experts(name(n.expert_up), c.experts, c.width, hidden, i);
  }
  const std::string& down = fused && !n.expert_down_all.empty() ? n.expert_down_all : n.expert_down;
  w.down = plan.experts(name(down), c.experts, hidden, c.width, i);
  if (c.shared_width > 0) {
    TensorNames shared;
    shared.gate = n.shared_gate;
    shared.up = n.shared_up;
    shared.down = n.shared_down;
    shared.gate_up = n.shared_gate_up;
    w.shared = plan_weights(plan, shared_config(c), shared, place);
    if (c.shared_gated) w.shared_gate = plan.matrix(MatrixRole::stacked, {{name(n.shared_router), 1}}, hidden, {i});
  }
  return w;
}

void record_feed_forward(Recorder& r, const ExpertsConfig& c, const ExpertsWeights& w, TensorId in, TensorId branch) {
  record_experts(r, c, w, in, in, branch);
}

void record_experts(Recorder& r, const ExpertsConfig& c, const ExpertsWeights& w, TensorId router_in, TensorId in,
                    TensorId branch) {
  const uint32_t hidden = r.width(branch);
  const TensorId scores = r.tensor("router_scores", c.experts), routes = r.tensor("routes", 2 * c.chosen);
  const TensorId activated = r.tensor("expert_activated", c.chosen * c.width);
  const TensorId mixed = r.tensor("expert_outputs", c.chosen * hidden);
  r.emit(Linear{.in = router_in, .weight = w.router, .bias = w.router_bias, .out = scores});
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
                       .expert_scales = w.scales,
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
    if (w.shared_gate) {
      const TensorId gate = r.tensor("shared_gate", 1), gated = r.tensor("shared_gated", hidden);
      r.emit(Linear{.in = in, .weight = *w.shared_gate, .out = gate});
      r.emit(Gate{.in = *shared, .gate = gate, .out = gated});
      shared = gated;
    }
  }
  r.emit(CombineExperts{.in = mixed, .routes = routes, .chosen = c.chosen, .shared = shared, .out = branch});
}

}  // namespace hearth
