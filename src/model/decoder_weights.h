#pragma once

#include <optional>
#include <variant>
#include <vector>

#include "device/operation.h"
#include "model/decoder_config.h"

// A decoder's weights on a device. Norms and biases that a family does not have are absent.
namespace hearth {

struct AttentionWeights {
  MatrixId qkv;  ///< Q, K and V stacked, those that the layer has
  std::optional<VectorId> qkv_bias;
  std::optional<VectorId> q_norm, k_norm;
  std::optional<VectorId> sinks;  ///< [heads]
  std::optional<MatrixId> gate;   ///< a value for each of Q's
  MatrixId output;
  std::optional<VectorId> output_bias;
};

struct LatentAttentionWeights {
  std::optional<MatrixId> q_a;  ///< with its norm, before q, where the projection has a rank
  std::optional<VectorId> q_a_bias, q_a_norm;
  MatrixId q;
  MatrixId kv_a;  ///< the latent, then the key that turns
  std::optional<VectorId> kv_a_bias;
  VectorId kv_a_norm;
  MatrixId key;    ///< [heads * latent_dim, nope_dim]
  MatrixId value;  ///< [heads * value_dim, latent_dim]
  MatrixId output;
  std::optional<VectorId> output_bias;
};

struct ConvolutionWeights {
  VectorId weight;  ///< [kernel, channels]
  std::optional<VectorId> bias;
};

struct ShortConvolutionWeights {
  MatrixId input;  ///< B, C and x stacked
  std::optional<VectorId> input_bias;
  ConvolutionWeights convolution;
  MatrixId output;
  std::optional<VectorId> output_bias;
};

/// What a state's heads are steered by.
struct StateWeights {
  VectorId decay_rate, step_bias;
  std::optional<VectorId> skip;
  VectorId norm;
};

struct GatedDeltaWeights {
  MatrixId input;                  ///< q, k, v, z, then b and a stacked
  bool rates_by_key_head = false;  ///< b and a of a key head's heads lie together
  ConvolutionWeights convolution;
  StateWeights state;
  MatrixId output;
  std::optional<VectorId> output_bias;
};

struct Mamba2Weights {
  MatrixId input;  ///< z, x, B, C and the steps stacked
  std::optional<VectorId> input_bias;
  ConvolutionWeights convolution;
  StateWeights state;
  MatrixId output;
  std::optional<VectorId> output_bias;
};

struct NoWeights {};

struct DenseWeights {
  MatrixId gate_up;  ///< gate, then up; up alone where there is no gate
  std::optional<VectorId> gate_up_bias;
  MatrixId down;
  std::optional<VectorId> down_bias;
  Xielu xielu;
};

struct ExpertsWeights {
  MatrixId router;
  std::optional<VectorId> router_bias;
  std::optional<VectorId> correction;
  std::optional<VectorId> scales;
  MatrixId gate, up, down;  ///< rows of one expert after another; no gate where they are not gated
  std::optional<VectorId> gate_bias, up_bias, down_bias;
  std::optional<DenseWeights> shared;
  std::optional<MatrixId> shared_gate;
};

struct DenseAndExpertsWeights {
  DenseWeights dense;
  ExpertsWeights experts;
  VectorId router_norm, experts_norm, dense_post_norm, experts_post_norm;
};

struct LayerInputsWeights {
  MatrixId embedding;   ///< [vocabulary, layers * width]
  MatrixId projection;  ///< [layers * width, hidden]
  VectorId norm;        ///< of each layer's part
};
/// A layer's own.
struct LayerInputWeights {
  MatrixId gate;
  MatrixId projection;
  VectorId post_norm;
};

struct NormWeights {
  std::optional<VectorId> weight, bias;
};

/// Which weights a kind of layer has: WeightsOf<AttentionConfig>.
template <class Config>
struct WeightsOfConfig;
template <>
struct WeightsOfConfig<AttentionConfig> {
  using Type = AttentionWeights;
};
template <>
struct WeightsOfConfig<LatentAttentionConfig> {
  using Type = LatentAttentionWeights;
};
template <>
struct WeightsOfConfig<ShortConvolutionConfig> {
  using Type = ShortConvolutionWeights;
};
template <>
struct WeightsOfConfig<GatedDeltaConfig> {
  using Type = GatedDeltaWeights;
};
template <>
struct WeightsOfConfig<Mamba2Config> {
  using Type = Mamba2Weights;
};
template <>
struct WeightsOfConfig<NoMixer> {
  using Type = NoWeights;
};
template <>
struct WeightsOfConfig<NoFeedForward> {
  using Type = NoWeights;
};
template <>
struct WeightsOfConfig<DenseConfig> {
  using Type = DenseWeights;
};
template <>
struct WeightsOfConfig<ExpertsConfig> {
  using Type = ExpertsWeights;
};
template <>
struct WeightsOfConfig<DenseAndExpertsConfig> {
  using Type = DenseAndExpertsWeights;
};
template <class Config>
using WeightsOf = typename WeightsOfConfig<Config>::Type;

struct LayerWeights {
  NormWeights mixer_norm;
  std::optional<VectorId> mixer_post_norm;
  std::variant<AttentionWeights, LatentAttentionWeights, ShortConvolutionWeights, GatedDeltaWeights, Mamba2Weights,
               NoWeights>
      mixer;  ///< of LayerConfig::mixer's kind
  NormWeights feed_forward_norm;
  std::optional<VectorId> feed_forward_post_norm;
  std::variant<DenseWeights, ExpertsWeights, DenseAndExpertsWeights, NoWeights>
      feed_forward;  ///< of LayerConfig::feed_forward's kind
  std::optional<LayerInputWeights> layer_input;
  float scale = 1.0F;  ///< on the residual behind the layer
};

struct DecoderWeights {
  MatrixId embedding;
  std::optional<LayerInputsWeights> layer_inputs;
  std::vector<LayerWeights> layers;
  NormWeights output_norm;
  MatrixId head;  ///< the embedding when they are tied
};

}  // namespace hearth
