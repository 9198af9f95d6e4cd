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

}  // namespace hearth::fields
