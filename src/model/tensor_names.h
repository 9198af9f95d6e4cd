#pragma once

#include <cstdint>
#include <string>

namespace hearth {

/// The names, in a checkpoint, of the tensors of a decoder. `{}` in a layer's name stands for its number.
/// Empty names are tensors that the family does not have.
struct TensorNames {
  std::string embedding;
  std::string output_norm, output_norm_bias;
  std::string head;  ///< unused when embeddings are tied
  // of a layer
  std::string attention_norm, attention_norm_bias;
  std::string q, k, v;
  std::string qkv;  ///< instead of these where they are one tensor
  std::string q_bias, k_bias, v_bias;
  std::string q_norm, k_norm;  ///< `{h}` stands for a head's number where each has a tensor
  std::string sinks;
  std::string q_a, q_a_bias, q_a_norm, kv_a, kv_a_bias, kv_a_norm;  ///< of latent attention
  std::string kv_b;                                                 ///< each head's key rows, then its value rows
  std::string k_b, v_b;  ///< instead: [heads, latent, key] and [heads, value, latent]
  std::string output, output_bias;
  std::string attention_post_norm;
  // of a mixer that remembers by a state
  std::string state_input, state_input_bias;         ///< all that is made of the residual, in the order of the weights
  std::string state_qkv, state_z, state_b, state_a;  ///< instead of it where these are tensors of their own
  std::string state_qkvz, state_ba;                  ///< or these, by key head
  std::string convolution, convolution_bias;
  std::string decay_log;   ///< ln of -decay_rate
  std::string decay_rate;  ///< instead of it
  std::string step_bias, skip, state_norm;
  std::string state_output, state_output_bias;
  std::string feed_forward_norm, feed_forward_norm_bias;
  std::string gate, up, down;
  std::string gate_up;  ///< instead of gate and up where they are one tensor
  std::string gate_bias, up_bias, down_bias;
  std::string feed_forward_post_norm;
  std::string xielu_positive, xielu_negative, xielu_linear, xielu_bound;
  std::string router, router_bias, router_correction;
  std::string expert_gate, expert_up, expert_down;  ///< `{e}` stands for the expert's number; without it all are in one
  std::string shared_gate, shared_up, shared_down;
  std::string shared_gate_up;   ///< instead of gate and up where they are one tensor
  std::string shared_router;    ///< one value that gates the shared part
  std::string expert_gate_up;   ///< instead of experts' gate and up where all are one tensor
  std::string expert_down_all;  ///< that goes with it where expert_down is something else
  std::string expert_gate_bias, expert_up_bias, expert_gate_up_bias, expert_down_bias;  ///< [experts, outputs]
  std::string expert_scales;  ///< on the chosen experts' weights
  // of experts beside a dense part
  std::string router_scale;  ///< of the norm before the router, but for 1 / sqrt(hidden)
  std::string experts_norm, experts_post_norm, dense_post_norm;
  // of what layers are told of a token beside the residual
  std::string layer_inputs_embedding, layer_inputs_projection, layer_inputs_norm;
  std::string layer_input_gate, layer_input_projection, layer_input_post_norm;
  std::string layer_scale;  ///< one number on the residual behind a layer
  // how the tensors of experts lie
  bool expert_columns = false;   ///< what is computed are columns, [experts, inputs, outputs], but for blocks
  bool gates_alternate = false;  ///< in expert_gate_up: gate, up, gate, up ...; else all gates, then all ups
};

/// All members, for what holds for every name.
inline constexpr std::string TensorNames::*kAllTensorNames[] = {&TensorNames::embedding,
                                                                &TensorNames::output_norm,
                                                                &TensorNames::output_norm_bias,
                                                                &TensorNames::head,
                                                                &TensorNames::attention_norm,
                                                                &TensorNames::attention_norm_bias,
                                                                &TensorNames::q,
                                                                &TensorNames::k,
                                                                &TensorNames::v,
                                                                &TensorNames::qkv,
                                                                &TensorNames::q_bias,
                                                                &TensorNames::k_bias,
                                                                &TensorNames::v_bias,
                                                                &TensorNames::q_norm,
                                                                &TensorNames::k_norm,
                                                                &TensorNames::sinks,
                                                                &TensorNames::q_a,
                                                                &TensorNames::q_a_bias,
                                                                &TensorNames::q_a_norm,
                                                                &TensorNames::kv_a,
                                                                &TensorNames::kv_a_bias,
                                                                &TensorNames::kv_a_norm,
                                                                &TensorNames::kv_b,
                                                                &TensorNames::k_b,
                                                                &TensorNames::v_b,
                                                                &TensorNames::output,
                                                                &TensorNames::output_bias,
                                                                &TensorNames::attention_post_norm,
                                                                &TensorNames::feed_forward_norm,
                                                                &TensorNames::feed_forward_norm_bias,
                                                                &TensorNames::gate,
                                                                &TensorNames::up,
                                                                &TensorNames::down,
                                                                &TensorNames::gate_up,
                                                                &TensorNames::gate_bias,
                                                                &TensorNames::up_bias,
                                                                &TensorNames::down_bias,
                                                                &TensorNames::feed_forward_post_norm,
                                                                &TensorNames::xielu_positive,
                                                                &TensorNames::xielu_negative,
                                                                &TensorNames::xielu_linear,
                                                                &TensorNames::xielu_bound,
                                                                &TensorNames::router,
                                                                &TensorNames::router_bias,
                                                                &TensorNames::router_correction,
                                                                &TensorNames::expert_gate,
                                                                &TensorNames::expert_up,
                                                                &TensorNames::expert_down,
                                                                &TensorNames::shared_gate,
                                                                &TensorNames::shared_up,
                                                                &TensorNames::shared_down,
                                                                &TensorNames::state_input,
                                                                &TensorNames::state_input_bias,
                                                                &TensorNames::state_qkv,
                                                                &TensorNames::state_z,
                                                                &TensorNames::state_b,
                                                                &TensorNames::state_a,
                                                                &TensorNames::state_qkvz,
                                                                &TensorNames::state_ba,
                                                                &TensorNames::convolution,
                                                                &TensorNames::convolution_bias,
                                                                &TensorNames::decay_log,
                                                                &TensorNames::decay_rate,
                                                                &TensorNames::step_bias,
                                                                &TensorNames::skip,
                                                                &TensorNames::state_norm,
                                                                &TensorNames::state_output,
                                                                &TensorNames::state_output_bias,
                                                                &TensorNames::shared_gate_up,
                                                                &TensorNames::shared_router,
                                                                &TensorNames::expert_gate_up,
                                                                &TensorNames::expert_down_all,
                                                                &TensorNames::expert_gate_bias,
                                                                &TensorNames::expert_up_bias,
                                                                &TensorNames::expert_gate_up_bias,
                                                                &TensorNames::expert_down_bias,
                                                                &TensorNames::expert_scales,
                                                                &TensorNames::router_scale,
                                                                &TensorNames::experts_norm,
                                                                &TensorNames::experts_post_norm,
                                                                &TensorNames::dense_post_norm,
                                                                &TensorNames::layer_inputs_embedding,
                                                                &TensorNames::layer_inputs_projection,
                                                                &TensorNames::layer_inputs_norm,
                                                                &TensorNames::layer_input_gate,
                                                                &TensorNames::layer_input_projection,
                                                                &TensorNames::layer_input_post_norm,
                                                                &TensorNames::layer_scale};

/// The name of a layer's tensor: `{}` replaced by the layer's number.
std::string in_layer(const std::string& name, uint32_t layer);

}  // namespace hearth
