#pragma once

#include "model/decoder_config.h"

// What some families say of all attention layers at once.
namespace hearth::fields {

inline void set_window_everywhere(DecoderConfig& config, uint32_t window) {
  config.for_each_attention([&](AttentionConfig& attention) { attention.window = window; });
}

/// Norms of Q and of K go over all heads together.
inline void norm_all_heads(DecoderConfig& config) {
  config.for_each_attention([](AttentionConfig& attention) { attention.head_norm = HeadNorm::all_heads; });
}

/// Each head of Q and of K has a layer norm of its own.
inline void norm_heads_by_layer_norms(DecoderConfig& config) {
  config.for_each_attention([](AttentionConfig& attention) { attention.head_norm = HeadNorm::layer_norms; });
}

}  // namespace hearth::fields
