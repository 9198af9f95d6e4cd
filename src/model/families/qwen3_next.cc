#include <array>

#include "model/families/delta_fields.h"

// Qwen 3 Next: three of four layers follow the gated delta rule (arXiv 2412.06464), all have experts.
namespace hearth {
namespace {

constexpr std::array<std::string_view, 1> kModelTypes = {"qwen3_next"};
constexpr std::array<std::string_view, 1> kArchitectures = {"qwen3next"};

void set_mixtures(fields::HuggingFaceFields& f, DecoderConfig& c) {
  ExpertsConfig experts = {.experts = f.u32("num_experts", 512),
                           .chosen = f.u32("num_experts_per_tok", 10),
                           .width = f.u32("moe_intermediate_size", 512),
                           .normalise = f.boolean("norm_topk_prob", true)};
  experts.shared_width = f.u32("shared_expert_intermediate_size", 512);
  experts.shared_gated = true;
  const uint32_t step = std::max(1U, f.u32("decoder_sparse_step", 1));
  const nlohmann::json dense_layers = f.value("mlp_only_layers");
  fields::set_experts(c, experts, [&](uint32_t i) {
    const bool is_dense = std::ranges::any_of(dense_layers, [&](const auto& layer) { return layer == i; });
    return experts.experts > 0 && !is_dense && (i + 1) % step == 0;
  });
}

Result<DecoderDescription> from_hugging_face(const nlohmann::json& config) {
  fields::HuggingFaceFields f(config);
  DecoderDescription d = fields::common(f, {.family = "qwen3_next",
                                            .sizes = {2048, 5632, 48, 16, 151936},
                                            .partial_rotary = 0.25F,
                                            .context_length = 32768,
                                            .kv_heads = 2,
                                            .head_dim = 256});
  d.config.norm_offset = 1;
  fields::set_delta_layers(f, d.config, true);
  set_mixtures(f, d.config);
  fields::add_head_norms(f, d.names);
  fields::name_delta(d.names);
  fields::name_gated_mixture(d.names);
  d.names.state_qkvz = "model.layers.{}.linear_attn.in_proj_qkvz.weight";
  d.names.state_ba = "model.layers.{}.linear_attn.in_proj_ba.weight";
  return fields::finish(f, std::move(d));
}

Result<DecoderDescription> from_gguf(const Gguf& gguf) {
  fields::GgufFields f(gguf);
  DecoderDescription d = fields::common(f, {.family = "qwen3_next"});
  fields::set_delta_layers(f, d, false);
  fields::set_gated_mixture(f, d);
  d.names.state_ba = "blk.{}.ssm_ba.weight";
  // Converters of the first weeks left q, k, v and z in one tensor, by key head.
  if (gguf.contains("blk.0.ssm_in.weight")) d.names.state_qkvz = "blk.{}.ssm_in.weight";
  return fields::finish(f, std::move(d));
}

}  // namespace

const Family kQwen3Next = {"qwen3_next", kModelTypes, kArchitectures, from_hugging_face, from_gguf};

}  // namespace hearth
