#pragma once

#include <optional>
#include <vector>

#include "device/operation.h"
#include "model/decoder_config.h"

namespace hearth {

/// A layer's weights on the device. Norms and biases that a family does not have are absent.
struct LayerWeights {
  std::optional<VectorId> attention_norm;
  MatrixId qkv;  ///< Q, K and V stacked
  std::optional<VectorId> qkv_bias;
  std::optional<VectorId> q_norm;
  std::optional<VectorId> k_norm;
  MatrixId output;
  std::optional<VectorId> output_bias;
  std::optional<VectorId> attention_post_norm;
  std::optional<VectorId> feed_forward_norm;
  MatrixId gate_up;  ///< gate, then up
  std::optional<VectorId> gate_up_bias;
  MatrixId down;
  std::optional<VectorId> down_bias;
  std::optional<VectorId> feed_forward_post_norm;
};

struct DecoderWeights {
  MatrixId embedding;
  std::vector<LayerWeights> layers;
  VectorId output_norm;
  MatrixId head;  ///< the embedding when they are tied
};

/// The forward pass of every family: token ids in, logits of the wanted rows out. Layer i keeps its K and V in cache
/// layer i.
Recording record_forward(const DecoderConfig& config, const DecoderWeights& weights);

}  // namespace hearth
