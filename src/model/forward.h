#pragma once

#include "device/operation.h"
#include "model/decoder_config.h"
#include "model/decoder_weights.h"

namespace hearth {

/// The forward pass of every family: token ids in, logits of the wanted rows out. Layers that keep K and V take the
/// cache's layers in their order.
Recording record_forward(const DecoderConfig& config, const DecoderWeights& weights);

}  // namespace hearth
