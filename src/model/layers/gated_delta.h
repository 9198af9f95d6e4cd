#pragma once

#include "model/decoder_weights.h"
#include "model/layers/layer_place.h"
#include "model/recorder.h"
#include "model/tensor_names.h"
#include "model/weight_plan.h"

namespace hearth {

GatedDeltaWeights plan_weights(WeightPlan& plan, const GatedDeltaConfig& config, const TensorNames& names,
                               const LayerPlace& place);

/// What tokens take from others, before the output projection; `in` is the normed residual. The state is `cache`.
TensorId record_mixer(Recorder& recorder, const GatedDeltaConfig& config, const GatedDeltaWeights& weights,
                      float norm_epsilon, CacheLayerId cache, TensorId in);

}  // namespace hearth
