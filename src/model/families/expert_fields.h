#pragma once

#include <algorithm>

#include "model/families/family.h"
#include "model/families/gguf_fields.h"
#include "model/families/hugging_face_fields.h"

// What mixtures of experts have in common.
namespace hearth::fields {

/// Every layer from `first` on whose number `is_mixture` confirms gets `experts` instead of its dense part.
template <class F>
void set_experts(DecoderConfig& config, const ExpertsConfig& experts, F&& is_mixture) {
  for (uint32_t i = 0; i < config.layers.size(); ++i) {
    if (is_mixture(i)) config.layers[i].feed_forward = experts;
  }
}

/// expert_count and what belongs to it, the tensors' names; those that are not there are not named.
inline ExpertsConfig experts_of(GgufFields& fields, TensorNames& names) {
  ExpertsConfig experts = {.experts = fields.u32("expert_count"), .chosen = fields.u32("expert_used_count")};
  experts.width = fields.u32("expert_feed_forward_length", fields.u32("feed_forward_length"));
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
