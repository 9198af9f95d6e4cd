#pragma once

#include "model/decoder_weights.h"
#include "model/layers/layer_place.h"
#include "model/recorder.h"
#include "model/tensor_names.h"
#include "model/weight_plan.h"

// What layers are told of a token beside the residual (LayerInputsConfig).
namespace hearth {

LayerInputsWeights plan_layer_inputs(WeightPlan& plan, const DecoderConfig& config, const TensorNames& names);
LayerInputWeights plan_weights(WeightPlan& plan, const LayerInputsConfig& config, const TensorNames& names,
                               const LayerPlace& place);

/// All layers' inputs [layers * width], from the embedded tokens: (norm(projection(x / sqrt(hidden))) + sqrt(width) *
/// embedding) / sqrt(2), the norm going over each layer's part.
TensorId record_layer_inputs(Recorder& recorder, const DecoderConfig& config, const LayerInputsWeights& weights,
                             TensorId embedded);

/// What layer `layer` makes of its part of `inputs`, from the residual to `branch`, before the norm behind it.
void record_layer_input(Recorder& recorder, const LayerInputsConfig& config, const LayerInputWeights& weights,
                        uint32_t layer, TensorId inputs, TensorId residual, TensorId branch);

}  // namespace hearth
