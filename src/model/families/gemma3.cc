#include <algorithm>
#include <array>
#include <cmath>

#include "model/families/family.h"
#include "model/families/gguf_fields.h"
#include "model/families/hugging_face_fields.h"
#include "model/families/hugging_face_rope.h"

// Gemma 3, the text decoder (arXiv 2503.19786): Gemma 2 without caps, norms on Q and K heads, five windowed layers with
// a rope of their own for each full one.
namespace hearth {
namespace {

constexpr std::array<std::string_view, 1> kModelTypes = {"gemma3_text"};
constexpr std::array<std::string_view, 1> kArchitectures = {"gemma3"};
constexpr double kLocalTheta = 10000.0;
constexpr double kGlobalTheta = 1000000.0;
constexpr uint32_t kPattern = 6;

void set_common(DecoderConfig& c) { c.embedding_scale = std::sqrt(static_cast<float>(c.hidden)); }

/// Rope 0 is the full layers', rope 1 the windowed ones'.
void set_ropes(DecoderConfig& c, RopeSpec full, RopeSpec windowed) {
  c.ropes = {std::move(full), std::move(windowed)};
  c.for_each_attention([](AttentionConfig& attention) { attention.rope = attention.window > 0 ? 1 : 0; });
}

RopeSpec full_rope(fields::HuggingFaceFields& f, uint32_t head_dim) {
  const double theta = f.f32("rope_theta", static_cast<float>(kGlobalTheta));
  const nlohmann::json parameters = fields::rope_parameters_of(f, "full_attention");
  if (f.has("rope_scaling") && !parameters.is_null() && parameters != f.value("rope_scaling")) {
    f.fail("there are rope_parameters and rope_scaling, and they differ", ErrorCode::unsupported);
  }
  const nlohmann::json scaling = f.has("rope_scaling") ? f.value("rope_scaling") : nlohmann::json::object();
  return fields::rope_from_parameters(f, parameters.is_null() ? scaling : parameters,
                                      {.theta = theta, .head_dim = head_dim});
}

RopeSpec windowed_rope(fields::HuggingFaceFields& f, uint32_t head_dim) {
  const double theta = f.f32("rope_local_base_freq", static_cast<float>(kLocalTheta));
  const nlohmann::json parameters = fields::rope_parameters_of(f, "sliding_attention");
  return fields::rope_from_parameters(f, parameters.is_null() ? nlohmann::json::object() : parameters,
                                      {.theta = theta, .head_dim = head_dim});
}

Result<DecoderDescription> from_hugging_face(const nlohmann::json& config) {
  fields::HuggingFaceFields f(config);
  DecoderDescription d = fields::common(f, {.family = "gemma3_text",
                                            .sizes = {2304, 9216, 26, 8, 262208},
                                            .has_own_ropes = true,
                                            .context_length = 131072,
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
  const float softcap = f.f32("attn_logit_softcapping", 0.0F);
  c.for_each_attention([&](AttentionConfig& attention) {
    attention.scale = scale;
    attention.softcap = softcap;
  });
  c.logit_softcap = f.f32("final_logit_softcapping", 0.0F);
  const uint32_t pattern = std::max(1U, f.u32("sliding_window_pattern", kPattern));
  fields::set_windows(f, f.u32("sliding_window", 4096, 0), c,
                      [&](uint32_t layer) { return (layer + 1) % pattern != 0; });

  fields::refuse_ropes_of_other_layers(f, {"full_attention", "sliding_attention"});
  const uint32_t head_dim = f.u32("head_dim", 256);
  set_ropes(c, full_rope(f, head_dim), windowed_rope(f, head_dim));

  const std::string layer = "model.layers.{}.";
  d.names.q_norm = layer + "self_attn.q_norm.weight";
  d.names.k_norm = layer + "self_attn.k_norm.weight";
  d.names.attention_post_norm = layer + "post_attention_layernorm.weight";
  d.names.feed_forward_norm = layer + "pre_feedforward_layernorm.weight";
  d.names.feed_forward_post_norm = layer + "post_feedforward_layernorm.weight";
  return fields::finish(f, std::move(d));
}

Result<DecoderDescription> from_gguf(const Gguf& gguf) {
  fields::GgufFields f(gguf);
  DecoderDescription d = fields::common(f, {.family = "gemma3_text", .activation = Activation::gelu_tanh});
  DecoderConfig& c = d.config;
  set_common(c);
  // The file does not say query_pre_attn_scalar; only the 27B model (62 layers) has hidden / heads there.
  constexpr size_t kLayersOf27B = 62;
  const bool is_27b = c.layers.size() == kLayersOf27B;
  const float softcap = f.f32("attn_logit_softcapping", 0.0F);
  uint32_t head_dim = 0;
  c.for_each_attention([&](AttentionConfig& attention) {
    if (is_27b && attention.heads > 0)
      attention.scale = 1.0F / std::sqrt(static_cast<float>(c.hidden) / static_cast<float>(attention.heads));
    attention.softcap = softcap;
    head_dim = attention.head_dim;
  });
  c.logit_softcap = f.f32("final_logit_softcapping", 0.0F);
  fields::set_windows(f, f.u32("attention.sliding_window", 1024), c,
                      [](uint32_t layer) { return (layer + 1) % kPattern != 0; });
  RopeSpec windowed = fields::plain_rope(f, "rope.freq_base_swa", kLocalTheta, head_dim);
  set_ropes(c, std::move(c.ropes[0]), std::move(windowed));
  fields::add_head_norms(gguf, d.names);
  fields::add_branch_norms(d.names);
  return fields::finish(f, std::move(d));
}

}  // namespace

const Family kGemma3 = {"gemma3_text", kModelTypes, kArchitectures, from_hugging_face, from_gguf};

}  // namespace hearth
