#pragma once

#include <optional>
#include <variant>
#include <vector>

#include "device/operation.h"
#include "model/decoder_config.h"

// A decoder's weights on a device. Norms and biases that a family does not have are absent.
namespace hearth {

struct AttentionWeights {
  MatrixId qkv;  ///< Q, K and V stacked
  std::optional<VectorId> qkv_bias;
  std::optional<VectorId> q_norm, k_norm;
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
  MatrixId gate, up, down;  ///< rows of one expert after another
  std::optional<DenseWeights> shared;
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
struct WeightsOfConfig<DenseConfig> {
  using Type = DenseWeights;
};
template <>
struct WeightsOfConfig<ExpertsConfig> {
  using Type = ExpertsWeights;
};
template <class Config>
using WeightsOf = typename WeightsOfConfig<Config>::Type;

struct LayerWeights {
  NormWeights mixer_norm;
  std::optional<VectorId> mixer_post_norm;
  std::variant<AttentionWeights, LatentAttentionWeights> mixer;  ///< of LayerConfig::mixer's kind
  NormWeights feed_forward_norm;
  std::optional<VectorId> feed_forward_post_norm;
  std::variant<DenseWeights, ExpertsWeights> feed_forward;  ///< of LayerConfig::feed_forward's kind
};

struct DecoderWeights {
  MatrixId embedding;
  std::vector<LayerWeights> layers;
  NormWeights output_norm;
  MatrixId head;  ///< the embedding when they are tied
};

}  // namespace hearth
