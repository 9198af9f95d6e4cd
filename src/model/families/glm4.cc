#include <array>

#include "model/families/family.h"
#include "model/families/gguf_fields.h"
#include "model/families/hugging_face_fields.h"

// GLM-4-0414 (arXiv 2406.12793): norms before and after each branch, half of a head turned in neighbouring pairs.
namespace hearth {
namespace {

constexpr std::array<std::string_view, 1> kModelTypes = {"glm4"};
constexpr std::array<std::string_view, 1> kArchitectures = {"glm4"};

Result<DecoderDescription> from_hugging_face(const nlohmann::json& config) {
  fields::HuggingFaceFields f(config);
  DecoderDescription d = fields::common(f, {.family = "glm4",
                                            .sizes = {4096, 13696, 40, 32, 151552},
                                            .partial_rotary = 0.5F,
                                            .interleaved_rope = true,
                                            .context_length = 131072,
                                            .kv_heads = 2,
                                            .head_dim = 128,
                                            .epsilon = 1.5625e-7F});
  if (f.boolean("attention_bias", true)) fields::add_qkv_biases(d.names);
  d.names.gate = d.names.up = "";
  d.names.gate_up = "model.layers.{}.mlp.gate_up_proj.weight";
  d.names.attention_post_norm = "model.layers.{}.post_self_attn_layernorm.weight";
  d.names.feed_forward_post_norm = "model.layers.{}.post_mlp_layernorm.weight";
  return fields::finish(f, std::move(d));
}

Result<DecoderDescription> from_gguf(const Gguf& gguf) {
  fields::GgufFields f(gguf);
  DecoderDescription d = fields::common(f, {.family = "glm4", .interleaved_rope = true});
  fields::fuse_gate_up(d.names);
  fields::add_branch_norms(d.names);
  return fields::finish(f, std::move(d));
}

}  // namespace

const Family kGlm4 = {"glm4", kModelTypes, kArchitectures, from_hugging_face, from_gguf};

}  // namespace hearth
