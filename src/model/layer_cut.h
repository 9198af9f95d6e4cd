#pragma once

#include <cstdint>

#include "model/decoder_config.h"

namespace hearth {

/// What of a decoder is loaded where somebody only checks a set-up: answers are nonsense then.
struct LayerCut {
  uint32_t max_layers = 0;   ///< only the first layers; 0 is all
  bool shared_only = false;  ///< no layer, only what all share: embedding, last norm and head

  bool cuts(const DecoderConfig& config) const {
    return shared_only || (max_layers > 0 && max_layers < config.layers.size());
  }

  void apply(DecoderConfig& config) const {
    if (!cuts(config)) return;
    config.layers.resize(shared_only ? 1 : max_layers);
    if (!shared_only) return;
    config.layers[0] = {.mixer = NoMixer{}, .feed_forward = NoFeedForward{}};
    config.layer_inputs.reset();
  }
};

}  // namespace hearth
