#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "device/operation.h"

// One decoder described by data: everything in which the supported families differ. Widths are in values.
namespace hearth {

/// Softmax attention over a sequence's own keys and values, all heads of one size. Layers may differ in that size.
struct AttentionConfig {
  uint32_t heads = 0;
  uint32_t kv_heads = 0;
  uint32_t head_dim = 0;
  float scale = 0.0F;                        ///< on q.k
  float softcap = 0.0F;                      ///< 0 is none
  uint32_t window = 0;                       ///< positions seen, the token itself included; 0 is all of them
  bool chunked = false;                      ///< Attention, device/operation.h
  std::optional<uint32_t> rope;              ///< index into DecoderConfig::ropes; none leaves positions out
  HeadNorm head_norm = HeadNorm::each_head;  ///< this and what follows: RopeAndStore, device/operation.h
  bool norm_after_rope = false;
  bool unweighted_norms = false;  ///< of Q's and K's heads, which need no tensors
  bool v_norm = false;
  bool values_are_keys = false;
  float query_growth = 0.0F;
  uint32_t query_growth_positions = 1;
  uint32_t query_growth_shift = 0;
  bool gated = false;  ///< each value of a head is multiplied with the sigmoid of one that Q's projection gives besides
  /// The earlier layer whose K and V are read, of the same heads and window; then there are none of its own.
  std::optional<uint32_t> reads_layer;

  uint32_t q_width() const { return heads * head_dim; }
  uint32_t kv_width() const { return kv_heads * head_dim; }
};

/// Multi-head latent attention (arXiv 2405.04434): keys and values of all heads come from one row for each token, which
/// is all that the cache holds; latent_operations.h says how. A head's query is nope_dim values that meet what comes of
/// the latent, then rope_dim that meet the key which turns.
struct LatentAttentionConfig {
  uint32_t heads = 0;
  uint32_t nope_dim = 0;
  uint32_t rope_dim = 0;
  uint32_t value_dim = 0;   ///< of a head
  uint32_t latent_dim = 0;  ///< kv_lora_rank
  uint32_t q_rank = 0;      ///< of the queries' projection in two steps; 0 where it is one
  float scale = 0.0F;       ///< on q.k
  float norm_epsilon = 1e-6F;
  uint32_t rope = 0;  ///< index into DecoderConfig::ropes

  uint32_t row_width() const { return latent_dim + rope_dim; }
  uint32_t head_dim() const { return nope_dim + rope_dim; }
};

/// C * convolution(B * x) over the last tokens, with B, C and x from the residual (LFM2).
struct ShortConvolutionConfig {
  uint32_t channels = 0;
  uint32_t kernel = 0;  ///< tokens seen

  uint64_t state_values() const { return uint64_t{kernel - 1} * channels; }
};

/// The gated delta rule (arXiv 2412.06464) behind a short convolution of q, k and v; the result is normed by head and
/// gated by z.
struct GatedDeltaConfig {
  uint32_t heads = 0;      ///< of v, z and the state
  uint32_t key_heads = 0;  ///< of q and k
  uint32_t key_dim = 0;
  uint32_t value_dim = 0;
  uint32_t kernel = 0;
  bool key_heads_alternate = false;  ///< LinearAttention, device/recurrent_operations.h

  uint32_t keys() const { return key_heads * key_dim; }
  uint32_t values() const { return heads * value_dim; }
  uint32_t channels() const { return 2 * keys() + values(); }
  uint64_t convolution_values() const { return uint64_t{kernel - 1} * channels(); }
  uint64_t state_values() const { return convolution_values() + uint64_t{heads} * key_dim * value_dim; }
};

/// Mamba 2 (arXiv 2405.21060): x, B and C behind a short convolution; heads of a group share B and C. The result is
/// gated by z and normed by group.
struct Mamba2Config {
  uint32_t heads = 0;
  uint32_t head_dim = 0;
  uint32_t groups = 0;
  uint32_t state_dim = 0;  ///< of B and C
  uint32_t kernel = 0;
  float least_step = 0.0F;  ///< of those that decide how much a token changes the state

  uint32_t width() const { return heads * head_dim; }
  uint32_t keys() const { return groups * state_dim; }
  uint32_t channels() const { return width() + 2 * keys(); }
  uint64_t convolution_values() const { return uint64_t{kernel - 1} * channels(); }
  uint64_t state_values() const { return convolution_values() + uint64_t{heads} * state_dim * head_dim; }
};

/// A mixer that remembers by a state of `state_values` float32 values.
template <class Config>
concept RemembersByState = requires(const Config& config) {
  config.state_values();
};

/// Where a layer has only the other of its parts.
struct NoMixer {};
struct NoFeedForward {};

/// down(activation(gate(x)) * up(x)), or down(activation(up(x))) where it is not gated.
struct DenseConfig {
  uint32_t width = 0;
  Activation activation = Activation::silu;
  bool gated = true;
  Xielu xielu;  ///< for Activation::xielu, unless they are tensors of the checkpoint
};

/// A mixture of experts (arXiv 2101.03961): a router chooses some of many dense parts for each token; a shared one,
/// where there is one, sees all tokens. ChooseExperts, device/operation.h, says what the router's numbers mean.
struct ExpertsConfig {
  uint32_t experts = 0;
  uint32_t chosen = 0;  ///< for each token
  uint32_t width = 0;   ///< of an expert
  Activation activation = Activation::silu;
  bool gated = true;   ///< this one and DenseConfig's mean the same
  float limit = 0.0F;  ///< this and the next: ExpertGateUp, device/expert_operations.h
  float up_offset = 0.0F;
  bool weighs_input = false;  ///< the router's weights are on what experts read instead of on what they give
  RouterKind router = RouterKind::softmax;
  uint32_t groups = 1;
  uint32_t chosen_groups = 1;
  uint32_t group_raters = 2;
  bool normalise = false;
  float scale = 1.0F;
  uint32_t shared_width = 0;  ///< 0 is none
  bool shared_gated = false;  ///< the shared one's result is multiplied with the sigmoid of one value more
};

/// Both side by side, of the same residual and each between norms of its own: norm(dense(norm(x))) +
/// norm(experts(norm(x))). The router sees the residual through a third norm.
struct DenseAndExpertsConfig {
  DenseConfig dense;
  ExpertsConfig experts;
};

/// One layer of a decoder: a mixer that lets tokens see others, then a part that works on each token alone. Which norms
/// it has is said by the names of its tensors.
struct LayerConfig {
  std::variant<AttentionConfig, LatentAttentionConfig, ShortConvolutionConfig, GatedDeltaConfig, Mamba2Config, NoMixer>
      mixer;
  std::variant<DenseConfig, ExpertsConfig, DenseAndExpertsConfig, NoFeedForward> feed_forward;
  bool parallel = false;  ///< both read the same normed residual
};

/// What each layer is told of a token beside the residual (per-layer embeddings): `width` values, made of the token's
/// embedding and of a row of another table, for all layers at once. A layer adds norm(projection(activation(gate(x)) *
/// its values)) behind its other parts.
struct LayerInputsConfig {
  uint32_t width = 0;
  uint32_t layers = 0;  ///< that the tensors were made for
  Activation activation = Activation::gelu_tanh;

  uint32_t all() const { return width * layers; }
};

/// A rope for sequences that may become longer than a model was first trained for (arXiv 2402.13753).
struct LongRope {
  uint32_t replaces = 0;          ///< index into DecoderConfig::ropes
  uint32_t original_context = 0;  ///< positions that the other one is good for
  RopeSpec rope;
};

struct DecoderConfig {
  std::string family;
  uint32_t hidden = 0;
  uint32_t vocabulary = 0;
  uint32_t context_length = 0;  ///< positions that the model was made for

  std::vector<LayerConfig> layers;
  std::vector<RopeSpec> ropes;
  std::optional<LongRope> long_rope;
  std::optional<LayerInputsConfig> layer_inputs;

  NormKind norm = NormKind::rms;
  float norm_epsilon = 1e-6F;
  /// Added to every norm weight at load: 1 where a checkpoint stores w of (1 + w).
  float norm_offset = 0.0F;

  float embedding_scale = 1.0F;
  float branch_scale = 1.0F;  ///< on what each part adds to the residual
  float logit_scale = 1.0F;
  float logit_softcap = 0.0F;  ///< 0 is none
  bool tied_embeddings = false;

  std::vector<int32_t> end_tokens;  ///< ids that end a generation, as the model's files give them
  std::optional<int32_t> bos_token;

  /// Calls `visit` with every attention layer's configuration.
  template <class Visit>
  void for_each_attention(Visit&& visit) {
    for (LayerConfig& layer : layers) {
      if (auto* attention = std::get_if<AttentionConfig>(&layer.mixer)) visit(*attention);
    }
  }
  template <class Visit>
  void for_each_attention(Visit&& visit) const {
    for (const LayerConfig& layer : layers) {
      if (const auto* attention = std::get_if<AttentionConfig>(&layer.mixer)) visit(*attention);
    }
  }
};

/// Dimensions that a head may have: far above any real model's.
inline constexpr uint32_t kMostHeadDim = 4096;

/// Inverse frequencies theta^(-2i/rotary_dim), i < rotary_dim / 2 (RoFormer, arXiv 2104.09864).
std::vector<float> rope_inverse_frequencies(double theta, uint32_t rotary_dim);

}  // namespace hearth
