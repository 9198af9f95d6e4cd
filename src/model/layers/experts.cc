#include "model/layers/experts.h"

#include "model/layers/dense.h"

namespace hearth {
namespace {

DenseConfig shared_config(const ExpertsConfig& c) {
  return {.width = c.shared_width, .activation = c.activation, .gated = c.gated};
}

/// Of a tensor of gates (0) and ups (1) the one or the other.
TensorRows half_of(const ExpertsConfig& c, const TensorNames& n, const std::string& name, uint32_t half) {
  return {.name = name,
          .rows = c.width,
          .first = n.gates_alternate ? half : half * c.width,
          .tensor_rows = 2 * c.width,
          .step = n.gates_alternate ? 2U : 1U};
}

/// Whether gates and ups are one tensor, where a family has both ways.
bool is_fused(const WeightPlan& plan, const TensorNames& n, const std::string& gate_up) {
  return n.expert_gate.empty() || (!gate_up.empty() && plan.has(gate_up));
}

void plan_experts(WeightPlan& plan, const ExpertsConfig& c, const TensorNames& n, const LayerPlace& place,
                  ExpertsWeights& w) {
  const uint32_t i = place.layer, hidden = place.hidden;
  const auto name = [&](const std::string& pattern) { return in_layer(pattern, i); };
  const auto bank = [&](const TensorRows& rows, uint32_t cols) {
    return n.expert_columns ? plan.expert_columns(rows, c.experts, cols, i) : plan.experts(rows, c.experts, cols, i);
  };
  if (!c.gated) {
    w.up = bank({name(n.expert_up), c.width}, hidden);
    w.down = bank({name(n.expert_down), hidden}, c.width);
    return;
  }
  const std::string gate_up = name(n.expert_gate_up), gate_up_bias = name(n.expert_gate_up_bias);
  const bool fused = is_fused(plan, n, gate_up);
  w.gate = bank(fused ? half_of(c, n, gate_up, 0) : TensorRows{name(n.expert_gate), c.width}, hidden);
  w.up = bank(fused ? half_of(c, n, gate_up, 1) : TensorRows{name(n.expert_up), c.width}, hidden);
  const std::string& down = fused && !n.expert_down_all.empty() ? n.expert_down_all : n.expert_down;
  w.down = bank({name(down), hidden}, c.width);
  const bool fused_bias = !gate_up_bias.empty();
  const TensorRows gate_bias{name(n.expert_gate_bias), c.width}, up_bias{name(n.expert_up_bias), c.width};
  w.gate_bias = plan.expert_bias(fused_bias ? half_of(c, n, gate_up_bias, 0) : gate_bias, c.experts, i);
  w.up_bias = plan.expert_bias(fused_bias ? half_of(c, n, gate_up_bias, 1) : up_bias, c.experts, i);
  w.down_bias = plan.expert_bias({name(n.expert_down_bias), hidden}, c.experts, i);
}

}  // namespace

ExpertsWeights plan_weights(WeightPlan& plan, const ExpertsConfig& c, const TensorNames& n, const LayerPlace& place) {
  const uint32_t i = place.layer, hidden = place.hidden;
  const auto name = [&](const std::string& pattern) { return in_layer(pattern, i); };
  ExpertsWeights w;
  w.router = plan.matrix(MatrixRole::stacked, {{name(n.router), c.experts}}, hidden, {i});
  w.router_bias = plan.bias({{name(n.router_bias), c.experts}}, i);
  w.correction = plan.bias({{name(n.router_correction), c.experts}}, i);
  w.scales = plan.bias({{name(n.expert_scales), c.experts}}, i);
  plan_experts(plan, c, n, place, w);
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

namespace {

/// What the chosen experts make of `in`, activated; `linear` has their routes.
void record_activated(Recorder& r, const ExpertsConfig& c, const ExpertsWeights& w, ExpertLinear linear, TensorId in,
                      TensorId activated) {
  if (!c.gated) {
    linear.in = in;
    linear.weight = w.up;
    linear.same_input = true;
    linear.out = r.tensor("expert_up", c.chosen * c.width);
    r.emit(linear);
    r.emit(Activate{.in = linear.out, .activation = c.activation, .out = activated});
    return;
  }
  r.emit(ExpertGateUp{.in = in,
                      .routes = linear.routes,
                      .gate = w.gate,
                      .up = w.up,
                      .experts = c.experts,
                      .chosen = c.chosen,
                      .gate_bias = w.gate_bias,
                      .up_bias = w.up_bias,
                      .activation = c.activation,
                      .limit = c.limit,
                      .up_offset = c.up_offset,
                      .weighs_input = c.weighs_input,
                      .out = activated});
}

}  // namespace

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
  ExpertLinear linear = {.routes = routes, .experts = c.experts, .chosen = c.chosen};
  record_activated(r, c, w, linear, in, activated);
  linear.in = activated;
  linear.weight = w.down;
  linear.bias = w.down_bias;
  linear.out = mixed;
  r.emit(linear);
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
  r.emit(CombineExperts{
      .in = mixed, .routes = routes, .chosen = c.chosen, .weighted = !c.weighs_input, .shared = shared, .out = branch});
}

}  // namespace hearth
