#pragma once

#include "model/decoder_weights.h"
#include "model/layers/layer_place.h"
#include "model/recorder.h"
#include "model/tensor_names.h"
#include "model/weight_plan.h"

namespace hearth {

AttentionWeights plan_weights(WeightPlan& plan, const AttentionConfig& config, const TensorNames& names,
                              const LayerPlace& place);

/// What tokens take from others, before the output projection; `in` is the normed residual. K and V go to `cache`, or
/// are there already where another layer's are read.
TensorId record_mixer(Recorder& recorder, const AttentionConfig& config, const AttentionWeights& weights,
                      float norm_epsilon, CacheLayerId cache, TensorId in);

}  // namespace hearth
