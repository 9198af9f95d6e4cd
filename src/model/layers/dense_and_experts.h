#pragma once

#include "model/decoder_weights.h"
#include "model/layers/layer_place.h"
#include "model/recorder.h"
#include "model/tensor_names.h"
#include "model/weight_plan.h"

namespace hearth {

DenseAndExpertsWeights plan_weights(WeightPlan& plan, const DenseAndExpertsConfig& config, const TensorNames& names,
                                    const LayerPlace& place);

/// From the residual, and what the dense part reads of it, `in`, to `branch`.
void record_feed_forward(Recorder& recorder, const DenseAndExpertsConfig& config, const DenseAndExpertsWeights& weights,
                         float norm_epsilon, TensorId residual, TensorId in, TensorId branch);

}  // namespace hearth
