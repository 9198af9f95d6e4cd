#pragma once

#include <algorithm>

#include "model/families/family.h"
#include "model/families/gguf_fields.h"
#include "model/families/hugging_face_fields.h"

// What mixtures of experts have in common.
namespace hearth::fields {

/// Every layer whose number `is_mixture` confirms gets `experts` instead of its dense part.
template <class F>
void set_experts(DecoderConfig& config, const ExpertsConfig& experts, F&& is_mixture) {
  for (uint32_t i = 0; i < config.layers.size(); ++i) {
    if (is_mixture(i)) config.layers[i].feed_forward = experts;
  }
}

/// Every layer's dense part becomes experts of its width and with its activation; the rest is said by `experts`.
inline void make_experts_of_dense(DecoderConfig& config, ExpertsConfig experts) {
  for (LayerConfig& layer : config.layers) {
    const auto& dense = std::get<DenseConfig>(layer.feed_forward);
    experts.width = dense.width;
    experts.activation = dense.activation;
    layer.feed_forward = experts;
  }
}

/// The router and the experts' tensors as most families call them, below "model.layers.{}.mlp.".
inline void name_experts(TensorNames& names) {
  const std::string mlp = "model.layers.{}.mlp.";
  names.router = mlp + "gate.weight";
  names.expert_gate = mlp + "experts.{e}.gate_proj.weight";
  names.expert_up = mlp + "experts.{e}.up_proj.weight";
  names.expert_down = mlp + "experts.{e}.down_proj.weight";
}

/// The same as Mixtral calls them, and who followed it.
inline void name_experts_by_number(TensorNames& names) {
  const std::string block = "model.layers.{}.block_sparse_moe.";
  names.router = block + "gate.weight";
  names.expert_gate = block + "experts.{e}.w1.weight";
  names.expert_down = block + "experts.{e}.w2.weight";
  names.expert_up = block + "experts.{e}.w3.weight";
}

/// expert_gating_func, where the architecture has only this one.
inline void expect_sigmoids(GgufFields& fields) {
  constexpr uint32_t kSigmoid = 2;
  if (fields.u32("expert_gating_func", kSigmoid) == kSigmoid) return;
  fields.fail({ErrorCode::unsupported, "its experts are not chosen by sigmoids", ""});
}

/// expert_count and what belongs to it, the tensors' names; those that are not there are not named.
inline ExpertsConfig experts_of(GgufFields& fields, TensorNames& names) {
  ExpertsConfig experts = {.experts = fields.u32("expert_count"), .chosen = fields.u32("expert_used_count")};
  experts.width = fields.u32("expert_feed_forward_length", 0);
  if (experts.width == 0) experts.width = fields.u32("feed_forward_length", 0);  // which else may differ by layer
  experts.groups = std::max(1U, fields.u32("expert_group_count", 1));
  experts.chosen_groups = std::max(1U, fields.u32("expert_group_used_count", 1));
  experts.scale = fields.f32("expert_weights_scale", 1.0F);
  if (experts.scale == 0) experts.scale = 1;  // older files' word for none
  experts.normalise = fields.boolean("expert_weights_norm", false);
  const std::string layer = "blk.{}.";
  names.router = layer + "ffn_gate_inp.weight";
  names.expert_gate = layer + "ffn_gate_exps.weight";
  names.expert_up = layer + "ffn_up_exps.weight";
  names.expert_down = layer + "ffn_down_exps.weight";
  return experts;
}

}  // namespace hearth::fields
