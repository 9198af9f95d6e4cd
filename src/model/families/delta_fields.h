#pragma once

#include <algorithm>
#include <string>

#include "model/families/expert_fields.h"

// What Qwen's hybrids have in common: of every few layers one attends, with a gate on each value of its heads, and the
// others follow the gated delta rule.
namespace hearth::fields {

inline constexpr uint32_t kFullAttentionInterval = 4;

/// Layers that `is_linear` confirms follow the delta rule; the others' heads are gated where `gated`.
template <class F>
void set_delta_layers(DecoderConfig& config, const GatedDeltaConfig& delta, bool gated, F&& is_linear) {
  for (uint32_t i = 0; i < config.layers.size(); ++i) {
    LayerConfig& layer = config.layers[i];
    if (is_linear(i)) layer.mixer = delta;
    if (auto* attention = std::get_if<AttentionConfig>(&layer.mixer)) attention->gated = gated;
  }
}

inline void set_delta_layers(HuggingFaceFields& f, DecoderConfig& c, bool gated) {
  const GatedDeltaConfig delta = {.heads = f.u32("linear_num_value_heads", 32),
                                  .key_heads = f.u32("linear_num_key_heads", 16),
                                  .key_dim = f.u32("linear_key_head_dim", 128),
                                  .value_dim = f.u32("linear_value_head_dim", 128),
                                  .kernel = f.u32("linear_conv_kernel_dim", 4)};
  const nlohmann::json types = f.value("layer_types");
  const uint32_t interval = std::max(1U, f.u32("full_attention_interval", kFullAttentionInterval));
  if (!types.is_null() && (!types.is_array() || types.size() != c.layers.size())) {
    return f.fail("layer_types is not a list with an entry for each layer");
  }
  const auto is_known = [](const auto& type) { return type == "linear_attention" || type == "full_attention"; };
  if (!std::ranges::all_of(types, is_known)) {
    return f.fail("layer_types has layers of other kinds", ErrorCode::unsupported);
  }
  set_delta_layers(c, delta, gated, [&](uint32_t i) {
    return types.is_null() ? (i + 1) % interval != 0 : types[i] == "linear_attention";
  });
  for (const LayerConfig& layer : c.layers) {
    const auto* dense = std::get_if<DenseConfig>(&layer.feed_forward);
    if (dense == nullptr || dense->activation == Activation::silu) continue;
    // It is that of the convolution and of the gate, too.
    return f.fail("hidden_act is not silu, which is not supported for this family", ErrorCode::unsupported);
  }
}

/// The tensors of a layer with the delta rule but for what it makes of the residual.
inline void name_delta(TensorNames& names) {
  const std::string part = "model.layers.{}.linear_attn.";
  names.convolution = part + "conv1d.weight";
  names.decay_log = part + "A_log";
  names.step_bias = part + "dt_bias";
  names.state_norm = part + "norm.weight";
  names.state_output = part + "out_proj.weight";
}

/// Experts beside a shared one with a gate of its own.
inline void name_gated_mixture(TensorNames& names) {
  const std::string mlp = "model.layers.{}.mlp.";
  name_experts(names);
  names.expert_gate_up = mlp + "experts.gate_up_proj";
  names.expert_down_all = mlp + "experts.down_proj";
  names.shared_gate = mlp + "shared_expert.gate_proj.weight";
  names.shared_up = mlp + "shared_expert.up_proj.weight";
  names.shared_down = mlp + "shared_expert.down_proj.weight";
  names.shared_router = mlp + "shared_expert_gate.weight";
}

/// The same of a GGUF. `layers_behind` predict further tokens.
inline void set_delta_layers(GgufFields& f, DecoderDescription& d, bool key_heads_alternate) {
  GatedDeltaConfig delta = {.heads = f.u32("ssm.time_step_rank"),
                            .key_heads = f.u32("ssm.group_count"),
                            .key_dim = f.u32("ssm.state_size"),
                            .kernel = f.u32("ssm.conv_kernel"),
                            .key_heads_alternate = key_heads_alternate};
  const uint32_t values = f.u32("ssm.inner_size");
  if (delta.heads > 0 && values % delta.heads == 0) delta.value_dim = values / delta.heads;
  const uint32_t interval = std::max(1U, f.u32("full_attention_interval", kFullAttentionInterval));
  d.extra_layers = f.u32("nextn_predict_layers", 0);
  d.config.layers.resize(d.config.layers.size() - std::min<size_t>(d.config.layers.size(), d.extra_layers));
  set_delta_layers(d.config, delta, true, [&](uint32_t i) { return (i + 1) % interval != 0; });
  const std::string layer = "blk.{}.";
  TensorNames& n = d.names;
  n.q_norm = layer + "attn_q_norm.weight";
  n.k_norm = layer + "attn_k_norm.weight";
  n.feed_forward_norm = layer + "post_attention_norm.weight";
  n.state_qkv = layer + "attn_qkv.weight";
  n.state_z = layer + "attn_gate.weight";
  n.convolution = layer + "ssm_conv1d.weight";
  n.decay_rate = layer + "ssm_a";
  n.step_bias = layer + "ssm_dt.bias";
  n.state_norm = layer + "ssm_norm.weight";
  n.state_output = layer + "ssm_out.weight";
}

inline void set_gated_mixture(GgufFields& f, DecoderDescription& d) {
  ExpertsConfig experts = experts_of(f, d.names);
  experts.normalise = true;  // as llama.cpp takes it for the architectures
  experts.shared_width = f.u32("expert_shared_feed_forward_length", experts.width);
  experts.shared_gated = true;
  set_experts(d.config, experts, [](uint32_t) { return true; });
  d.names.shared_gate = "blk.{}.ffn_gate_shexp.weight";
  d.names.shared_up = "blk.{}.ffn_up_shexp.weight";
  d.names.shared_down = "blk.{}.ffn_down_shexp.weight";
  d.names.shared_router = "blk.{}.ffn_gate_inp_shexp.weight";
}

}  // namespace hearth::fields
