#include <array>

#include "model/families/expert_fields.h"

// GLM 4.5 to 4.7 (arXiv 2508.06471): experts by sigmoids with a correction for the choice, a shared one, dense layers
// first.
namespace hearth {
namespace {

constexpr std::array<std::string_view, 1> kModelTypes = {"glm4_moe"};
constexpr std::array<std::string_view, 1> kArchitectures = {"glm4moe"};

Result<DecoderDescription> from_hugging_face(const nlohmann::json& config) {
  fields::HuggingFaceFields f(config);
  DecoderDescription d = fields::common(f, {.family = "glm4_moe",
                                            .sizes = {4096, 10944, 46, 96, 151552},
                                            .partial_rotary = 0.5F,
                                            .context_length = 131072,
                                            .kv_heads = 8,
                                            .head_dim = 128,
                                            .epsilon = 1e-5F});
  ExpertsConfig experts = {.experts = f.u32("n_routed_experts", 128),
                           .chosen = f.u32("num_experts_per_tok", 8),
                           .width = f.u32("moe_intermediate_size", 1408),
                           .router = RouterKind::sigmoid,
                           .groups = f.u32("n_group", 1),
                           .chosen_groups = f.u32("topk_group", 1),
                           .normalise = f.boolean("norm_topk_prob", true),
                           .scale = f.f32("routed_scaling_factor", 1.0F)};
  experts.shared_width = f.u32("n_shared_experts", 1) * experts.width;
  const uint32_t dense_layers = f.u32("first_k_dense_replace", 1);
  fields::set_experts(d.config, experts, [&](uint32_t i) { return i >= dense_layers; });
  if (f.boolean("attention_bias", false)) fields::add_qkv_biases(d.names);
  if (f.boolean("use_qk_norm", false)) fields::add_head_norms(f, d.names);
  const std::string mlp = "model.layers.{}.mlp.";
  fields::name_experts(d.names);
  d.names.router_correction = mlp + "gate.e_score_correction_bias";
  d.names.shared_gate = mlp + "shared_experts.gate_proj.weight";
  d.names.shared_up = mlp + "shared_experts.up_proj.weight";
  d.names.shared_down = mlp + "shared_experts.down_proj.weight";
  d.extra_layers = f.u32("num_nextn_predict_layers", 0);
  return fields::finish(f, std::move(d));
}

Result<DecoderDescription> from_gguf(const Gguf& gguf) {
  fields::GgufFields f(gguf);
  DecoderDescription d = fields::common(f, {.family = "glm4_moe"});
  ExpertsConfig experts = fields::experts_of(f, d.names);
  experts.router = RouterKind::sigmoid;
  fields::expect_sigmoids(f);
  experts.shared_width = f.u32("expert_shared_count", 1) * experts.width;
  const uint32_t dense_layers = f.u32("leading_dense_block_count", 1);
  // Layers that predict further tokens stand behind the others.
  d.extra_layers = f.u32("nextn_predict_layers", 0);
  d.config.layers.resize(d.config.layers.size() - std::min<size_t>(d.config.layers.size(), d.extra_layers));
  fields::set_experts(d.config, experts, [&](uint32_t i) { return i >= dense_layers; });
  fields::add_head_norms(gguf, d.names);
  d.names.feed_forward_norm = "blk.{}.post_attention_norm.weight";
  d.names.router_correction = "blk.{}.exp_probs_b.bias";
  d.names.shared_gate = "blk.{}.ffn_gate_shexp.weight";
  d.names.shared_up = "blk.{}.ffn_up_shexp.weight";
  d.names.shared_down = "blk.{}.ffn_down_shexp.weight";
  return fields::finish(f, std::move(d));
}

}  // namespace

const Family kGlm4Moe = {"glm4_moe", kModelTypes, kArchitectures, from_hugging_face, from_gguf};

}  // namespace hearth
