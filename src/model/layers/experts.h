#pragma once

#include "model/decoder_weights.h"
#include "model/layers/layer_place.h"
#include "model/recorder.h"
#include "model/tensor_names.h"
#include "model/weight_plan.h"

namespace hearth {

ExpertsWeights plan_weights(WeightPlan& plan, const ExpertsConfig& config, const TensorNames& names,
                            const LayerPlace& place);

/// From the normed residual `in` to `branch`.
void record_feed_forward(Recorder& recorder, const ExpertsConfig& config, const ExpertsWeights& weights, TensorId in,
                         TensorId branch);
/// The same where the router sees the residual otherwise than the experts.
void record_experts(Recorder& recorder, const ExpertsConfig& config, const ExpertsWeights& weights, TensorId router_in,
                    TensorId in, TensorId branch);

}  // namespace hearth
