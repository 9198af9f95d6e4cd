#include <array>

#include "model/families/delta_fields.h"

// Qwen 3.5: as Qwen 3 Next, with tensors of their own for what the delta rule reads, and dense layers or experts. The
// positions of text are the same in all sections of its rope, which therefore is a plain one.
namespace hearth {
namespace {

constexpr std::array<std::string_view, 2> kModelTypes = {"qwen3_5_text", "qwen3_5_moe_text"};
constexpr std::array<std::string_view, 2> kArchitectures = {"qwen35", "qwen35moe"};

void set_mixtures(fields::HuggingFaceFields& f, DecoderConfig& c) {
  ExpertsConfig experts = {.experts = f.u32("num_experts", 256),
                           .chosen = f.u32("num_experts_per_tok", 8),
                           .width = f.u32("moe_intermediate_size", 512),
                           .normalise = true};
  if (!f.boolean("norm_topk_prob", true)) f.fail("norm_topk_prob is false", ErrorCode::unsupported);
  experts.shared_width = f.u32("shared_expert_intermediate_size", 512);
  experts.shared_gated = true;
  fields::set_experts(c, experts, [](uint32_t) { return true; });
}

Result<DecoderDescription> from_hugging_face(const nlohmann::json& config) {
  fields::HuggingFaceFields f(config);
  const bool is_mixture = f.string("model_type", "") == "qwen3_5_moe_text";
  f.honour_rope_keys({"mrope_section", "mrope_interleaved"});
  constexpr fields::Sizes kDense = {4096, 12288, 32, 16, 248320};
  constexpr fields::Sizes kMixture = {2048, 1, 40, 16, 248320};  // no layer has a dense part
  fields::Defaults defaults = {.family = is_mixture ? "qwen3_5_moe" : "qwen3_5",
                               .sizes = is_mixture ? kMixture : kDense,
                               .partial_rotary = 0.25F,
                               .context_length = 32768,
                               .kv_heads = is_mixture ? 2U : 4U,
                               .head_dim = 256};
  DecoderDescription d = fields::common(f, defaults);
  d.config.norm_offset = 1;
  fields::set_delta_layers(f, d.config, f.boolean("attn_output_gate", true));
  fields::add_head_norms(f, d.names);
  fields::name_delta(d.names);
  if (is_mixture) {
    set_mixtures(f, d.config);
    fields::name_gated_mixture(d.names);
  }
  const std::string part = "model.layers.{}.linear_attn.";
  d.names.state_qkv = part + "in_proj_qkv.weight";
  d.names.state_z = part + "in_proj_z.weight";
  d.names.state_b = part + "in_proj_b.weight";
  d.names.state_a = part + "in_proj_a.weight";
  return fields::finish(f, std::move(d));
}

Result<DecoderDescription> from_gguf(const Gguf& gguf) {
  fields::GgufFields f(gguf);
  const bool is_mixture = gguf.metadata().get_string("general.architecture", "").value_or("") == "qwen35moe";
  f.pass_over("rope.dimension_sections");  // in all of which text has the same positions
  DecoderDescription d =
      fields::common(f, {.family = is_mixture ? "qwen3_5_moe" : "qwen3_5", .has_feed_forward_length = !is_mixture});
  // llama.cpp's converter lets heads with the same key head alternate.
  fields::set_delta_layers(f, d, true);
  if (is_mixture) fields::set_gated_mixture(f, d);
  d.names.state_b = "blk.{}.ssm_beta.weight";
  d.names.state_a = "blk.{}.ssm_alpha.weight";
  return fields::finish(f, std::move(d));
}

}  // namespace

const Family kQwen35 = {"qwen3_5", kModelTypes, kArchitectures, from_hugging_face, from_gguf};

}  // namespace hearth
