#include "model/layers/dense_and_experts.h"

#include <cmath>

#include "model/layers/dense.h"
#include "model/layers/experts.h"

namespace hearth {

DenseAndExpertsWeights plan_weights(WeightPlan& plan, const DenseAndExpertsConfig& c, const TensorNames& n,
                                    const LayerPlace& place) {
  const auto norm = [&](const std::string& name, float factor = 1.0F) {
    return plan.vector(in_layer(name, place.layer), {{place.hidden}}, place.layer,
                       [factor](std::vector<float>& values) {
                         for (float& value : values) value *= factor;
                       });
  };
  DenseAndExpertsWeights w;
  w.dense = plan_weights(plan, c.dense, n, place);
  w.experts = plan_weights(plan, c.experts, n, place);
  w.router_norm = norm(n.router_scale, 1.0F / std::sqrt(static_cast<float>(place.hidden)));
  w.experts_norm = norm(n.experts_norm);
  w.dense_post_norm = norm(n.dense_post_norm);
  w.experts_post_norm = norm(n.experts_post_norm);
  return w;
}

void record_feed_forward(Recorder& r, const DenseAndExpertsConfig& c, const DenseAndExpertsWeights& w,
                         float norm_epsilon, TensorId residual, TensorId in, TensorId branch) {
  const uint32_t hidden = r.width(branch);
  const TensorId router_in = r.tensor("router_in", hidden), experts_in = r.tensor("experts_in", hidden);
  const TensorId dense = r.tensor("dense", hidden), experts = r.tensor("experts", hidden);
  const auto norm = [&](TensorId of, VectorId weight, TensorId out) {
    r.emit(AddNorm{.residual = of, .norm = weight, .out = out, .epsilon = norm_epsilon});
  };
  norm(residual, w.router_norm, router_in);
  norm(residual, w.experts_norm, experts_in);
  record_feed_forward(r, c.dense, w.dense, in, dense);
  record_experts(r, c.experts, w.experts, router_in, experts_in, experts);
  norm(dense, w.dense_post_norm, branch);
  r.emit(AddNorm{.residual = branch, .branch = experts, .post_norm = w.experts_post_norm, .epsilon = norm_epsilon});
}

}  // namespace hearth
