#include <array>
#include <cmath>

#include "model/families/family.h"
#include "model/families/gguf_fields.h"
#include "model/families/hugging_face_fields.h"
#include "model/rope.h"

// Gemma 3, the text decoder (arXiv 2503.19786): Gemma 2 without caps, norms on Q and K heads, five windowed layers with
// a rope of their own for each full one.
namespace hearth {
namespace {

constexpr std::array<std::string_view, 1> kModelTypes = {"gemma3_text"};
constexpr std::array<std::string_view, 1> kArchitectures = {"gemma3"};
constexpr double kLocalTheta = 10000.0;
constexpr double kGlobalTheta = 1000000.0;
constexpr uint32_t kPattern = 6;

void set_common(DecoderConfig& c) {
  c.post_norm = true;
  c.qk_norm = true;
  c.activation = Activation::gelu_tanh;
  c.embedding_scale = std::sqrt(static_cast<float>(c.hidden));
}

/// Rope 0 is the full layers', rope 1 the windowed ones'.
void set_ropes(DecoderConfig& c, RopeSpec full, RopeSpec windowed) {
  c.ropes = {std::move(full), std::move(windowed)};
  for (AttentionConfig& layer : c.layers) layer.rope = layer.window > 0 ? 1 : 0;
}

Result<DecoderDescription> from_hugging_face(const nlohmann::json& config) {
  fields::HuggingFaceFields f(config);
  DecoderDescription d = fields::common(f, "gemma3_text", kGlobalTheta);
  DecoderConfig& c = d.config;
  set_common(c);
  c.norm_offset = 1.0F;
  c.tied_embeddings = f.boolean("tie_word_embeddings", true);
  c.attention_scale = 1.0F / std::sqrt(f.f32("query_pre_attn_scalar", 256.0F));
  c.attention_softcap = f.f32("attn_logit_softcapping", 0.0F);
  c.logit_softcap = f.f32("final_logit_softcapping", 0.0F);
  const uint32_t pattern = std::max(1U, f.u32("sliding_window_pattern", kPattern));
  fields::set_windows(f, f.u32("sliding_window", 4096), c.layers,
                      [&](uint32_t layer) { return (layer + 1) % pattern != 0; });

  const auto parameters = f.has("rope_parameters") ? f.json()["rope_parameters"] : nlohmann::json::object();
  if (parameters.contains("full_attention") && parameters.contains("sliding_attention")) {
    set_ropes(c, fields::rope_from_parameters(f, parameters["full_attention"], kGlobalTheta, c.head_dim),
              fields::rope_from_parameters(f, parameters["sliding_attention"], kLocalTheta, c.head_dim));
  } else if (!c.ropes.empty()) {
    const nlohmann::json local = {{"rope_theta", f.f32("rope_local_base_freq", static_cast<float>(kLocalTheta))}};
    set_ropes(c, c.ropes[0], fields::rope_from_parameters(f, local, kLocalTheta, c.head_dim));
  }

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
  DecoderDescription d = fields::common(f, "gemma3_text", false);
  DecoderConfig& c = d.config;
  set_common(c);
  // The file does not say query_pre_attn_scalar; only the 27B model (62 layers) has hidden / heads there.
  constexpr size_t kLayersOf27B = 62;
  if (c.layers.size() == kLayersOf27B && c.heads > 0) {
    c.attention_scale = 1.0F / std::sqrt(static_cast<float>(c.hidden) / static_cast<float>(c.heads));
  }
  c.logit_softcap = f.f32("final_logit_softcapping", 0.0F);
  const uint32_t window = f.u32("attention.sliding_window", 1024);
  for (uint32_t i = 0; i < c.layers.size(); ++i) c.layers[i].window = (i + 1) % kPattern != 0 ? window : 0;
  if (!c.ropes.empty()) {
    RopeSpec windowed;
    windowed.inverse_frequencies =
        rope_inverse_frequencies(f.f32("rope.freq_base_swa", static_cast<float>(kLocalTheta)), c.head_dim);
    set_ropes(c, c.ropes[0], std::move(windowed));
  }
  d.names.q_norm = "blk.{}.attn_q_norm.weight";
  d.names.k_norm = "blk.{}.attn_k_norm.weight";
  d.names.attention_post_norm = "blk.{}.post_attention_norm.weight";
  d.names.feed_forward_post_norm = "blk.{}.post_ffw_norm.weight";
  return fields::finish(f, std::move(d));
}

}  // namespace

const Family kGemma3 = {"gemma3_text", kModelTypes, kArchitectures, from_hugging_face, from_gguf};

}  // namespace hearth
