#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "device/operation.h"

namespace hearth {

/// What a layer attends to and how it turns positions.
struct AttentionConfig {
  uint32_t window = 0;  ///< positions seen, the token itself included; 0 is all of them
  uint32_t rope = 0;    ///< index into DecoderConfig::ropes
};

/// One decoder described by data: everything in which the supported families differ. Widths are in values.
struct DecoderConfig {
  std::string family;
  uint32_t hidden = 0;
  uint32_t feed_forward = 0;
  uint32_t heads = 0;
  uint32_t kv_heads = 0;
  uint32_t head_dim = 0;
  uint32_t vocabulary = 0;
  uint32_t context_length = 0;  ///< positions that the model was made for

  std::vector<AttentionConfig> layers;
  std::vector<RopeSpec> ropes;

  float norm_epsilon = 1e-6F;
  /// Added to every norm weight at load: 1 where a checkpoint stores w of (1 + w).
  float norm_offset = 0.0F;
  bool pre_norm = true;    ///< norm of the residual before attention and before the feed-forward part
  bool post_norm = false;  ///< norm of each branch before it is added to the residual
  bool qk_norm = false;    ///< norm of each Q and K head

  Activation activation = Activation::silu;

  float attention_scale = 0.0F;    ///< on q.k
  float attention_softcap = 0.0F;  ///< 0 is none
  float embedding_scale = 1.0F;
  float logit_softcap = 0.0F;  ///< 0 is none
  bool tied_embeddings = false;

  std::vector<int32_t> end_tokens;  ///< ids that end a generation, as the model's files give them
  std::optional<int32_t> bos_token;
};

/// Dimensions that a head may have: far above any real model's.
inline constexpr uint32_t kMostHeadDim = 4096;

/// Inverse frequencies theta^(-2i/rotary_dim), i < rotary_dim / 2 (RoFormer, arXiv 2104.09864).
std::vector<float> rope_inverse_frequencies(double theta, uint32_t rotary_dim);

/// The names, in a checkpoint, of the tensors of a decoder. `{}` in a layer's name stands for its number.
/// Empty names are tensors that the family does not have.
struct TensorNames {
  std::string embedding;
  std::string output_norm;
  std::string head;  ///< unused when embeddings are tied
  // of a layer
  std::string attention_norm;
  std::string q, k, v;
  std::string q_bias, k_bias, v_bias;
  std::string q_norm, k_norm;
  std::string output, output_bias;
  std::string attention_post_norm;
  std::string feed_forward_norm;
  std::string gate, up, down;
  std::string gate_bias, up_bias, down_bias;
  std::string feed_forward_post_norm;
};

/// The name of a layer's tensor: `{}` replaced by the layer's number.
std::string in_layer(const std::string& name, uint32_t layer);

}  // namespace hearth
