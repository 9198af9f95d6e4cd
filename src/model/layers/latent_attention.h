#pragma once

#include "model/decoder_weights.h"
#include "model/layers/layer_place.h"
#include "model/recorder.h"
#include "model/tensor_names.h"
#include "model/weight_plan.h"

namespace hearth {

LatentAttentionWeights plan_weights(WeightPlan& plan, const LatentAttentionConfig& config, const TensorNames& names,
                                    const LayerPlace& place);

/// What tokens take from others, before the output projection; `in` is the normed residual. Its epsilon is not that of
/// the decoder's norms. Rows of latents go to `cache`.
TensorId record_mixer(Recorder& recorder, const LatentAttentionConfig& config, const LatentAttentionWeights& weights,
                      float norm_epsilon, CacheLayerId cache, TensorId in);

}  // namespace hearth
