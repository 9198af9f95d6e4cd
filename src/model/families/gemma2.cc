#include <array>
#include <cmath>

#include "model/families/family.h"
#include "model/families/gguf_fields.h"
#include "model/families/hugging_face_fields.h"

// Gemma 2 (arXiv 2408.00118): norms before and after each branch, soft caps, every other layer windowed.
namespace hearth {
namespace {

constexpr std::array<std::string_view, 1> kModelTypes = {"gemma2"};
constexpr std::array<std::string_view, 1> kArchitectures = {"gemma2"};

bool is_sliding(uint32_t layer) { return layer % 2 == 0; }

void set_common(DecoderConfig& c) { c.embedding_scale = std::sqrt(static_cast<float>(c.hidden)); }

Result<DecoderDescription> from_hugging_face(const nlohmann::json& config) {
  fields::HuggingFaceFields f(config);
  DecoderDescription d = fields::common(f, {.family = "gemma2",
                                            .sizes = {2304, 9216, 26, 8, 256000},
                                            .context_length = 8192,
                                            .kv_heads = 4,
                                            .head_dim = 256,
                                            .tied_embeddings = true,
                                            .activation_key = "hidden_activation",
                                            .activation = Activation::gelu_tanh});
  DecoderConfig& c = d.config;
  set_common(c);
  c.norm_offset = 1.0F;
  fields::add_attention_biases(f, d.names);
  const float scale = 1.0F / std::sqrt(f.f32("query_pre_attn_scalar", 256.0F));
  const float softcap = f.f32("attn_logit_softcapping", 50.0F, 0.0F);
  c.for_each_attention([&](AttentionConfig& attention) {
    attention.scale = scale;
    attention.softcap = softcap;
  });
  c.logit_softcap = f.f32("final_logit_softcapping", 30.0F, 0.0F);
  fields::set_windows(f, f.u32("sliding_window", 4096, 0), c, is_sliding);
  const std::string layer = "model.layers.{}.";
  d.names.attention_post_norm = layer + "post_attention_layernorm.weight";
  d.names.feed_forward_norm = layer + "pre_feedforward_layernorm.weight";
  d.names.feed_forward_post_norm = layer + "post_feedforward_layernorm.weight";
  return fields::finish(f, std::move(d));
}

Result<DecoderDescription> from_gguf(const Gguf& gguf) {
  fields::GgufFields f(gguf);
  DecoderDescription d = fields::common(f, {.family = "gemma2", .activation = Activation::gelu_tanh});
  DecoderConfig& c = d.config;
  set_common(c);
  // The file does not say query_pre_attn_scalar; only the 27B model (46 layers) has hidden / heads there.
  constexpr size_t kLayersOf27B = 46;
  const bool is_27b = c.layers.size() == kLayersOf27B;
  const float softcap = f.f32("attn_logit_softcapping", 50.0F);
  c.for_each_attention([&](AttentionConfig& attention) {
    if (is_27b && attention.heads > 0)
      attention.scale = 1.0F / std::sqrt(static_cast<float>(c.hidden) / static_cast<float>(attention.heads));
    attention.softcap = softcap;
  });
  c.logit_softcap = f.f32("final_logit_softcapping", 30.0F);
  fields::set_windows(f, f.u32("attention.sliding_window", 4096), c, is_sliding);
  fields::add_branch_norms(d.names);
  return fields::finish(f, std::move(d));
}

}  // namespace

const Family kGemma2 = {"gemma2", kModelTypes, kArchitectures, from_hugging_face, from_gguf};

}  // namespace hearth
