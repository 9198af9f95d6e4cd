#pragma once

#include <cstdint>
#include <string>

namespace hearth {

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
