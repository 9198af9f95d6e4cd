#pragma once

#include "model/decoder_weights.h"
#include "model/layers/layer_place.h"
#include "model/recorder.h"
#include "model/tensor_names.h"
#include "model/weight_plan.h"

namespace hearth {

DenseWeights plan_weights(WeightPlan& plan, const DenseConfig& config, const TensorNames& names,
                          const LayerPlace& place);

/// The numbers of Activation::xielu from those that a model was trained with: the first two through a softplus.
Xielu xielu_of(double positive, double negative, double linear, double bound);

/// From the normed residual `in` to `branch`.
void record_feed_forward(Recorder& recorder, const DenseConfig& config, const DenseWeights& weights, TensorId in,
                         TensorId branch);

}  // namespace hearth
