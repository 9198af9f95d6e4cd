#include <array>
#include <cmath>

#include "model/families/family.h"
#include "model/families/gguf_fields.h"
#include "model/families/hugging_face_fields.h"
#include "model/families/hugging_face_rope.h"

// Hunyuan dense models (Tencent): Llama with norms of heads behind the rope.
namespace hearth {
namespace {

constexpr std::array<std::string_view, 1> kModelTypes = {"hunyuan_v1_dense"};
constexpr std::array<std::string_view, 1> kArchitectures = {"hunyuan-dense"};

void norm_behind_rope(DecoderConfig& c) {
  c.for_each_attention([](AttentionConfig& attention) { attention.norm_after_rope = true; });
}

/// A "dynamic" rope with an alpha is a larger theta (NTK-aware scaling).
RopeSpec rope_of(fields::HuggingFaceFields& f, uint32_t head_dim) {
  nlohmann::json parameters = fields::single_rope_parameters(f);
  fields::RopeDefaults defaults = {.theta = f.f32("rope_theta", 10000.0F), .head_dim = head_dim};
  fields::HuggingFaceFields rope(parameters);
  const float alpha = rope.f32("alpha", 0.0F);
  if (alpha <= 0 || rope.string("rope_type", rope.string("type", "")) != "dynamic" || head_dim <= 2) {
    return fields::rope_from_parameters(f, parameters, defaults);
  }
  const double theta = rope.f32("rope_theta", static_cast<float>(defaults.theta));
  const double dimensions = head_dim;
  if (rope.error()) f.fail("rope parameters: " + rope.error()->message, rope.error()->code);
  defaults.theta = theta * std::pow(alpha, dimensions / (dimensions - 2));
  return fields::rope_from_parameters(f, nlohmann::json::object(), defaults);
}

Result<DecoderDescription> from_hugging_face(const nlohmann::json& config) {
  fields::HuggingFaceFields f(config);
  f.honour_rope_keys({"alpha"});
  DecoderDescription d = fields::common(
      f,
      {.family = "hunyuan_v1_dense", .sizes = {4096, 11008, 32, 32, 290943}, .has_own_ropes = true, .epsilon = 1e-5F});
  uint32_t head_dim = 0;
  d.config.for_each_attention([&](const AttentionConfig& attention) { head_dim = attention.head_dim; });
  d.config.ropes = {rope_of(f, head_dim)};
  norm_behind_rope(d.config);
  fields::expect_head_norms(f);
  fields::add_attention_biases(f, d.names);
  d.names.q_norm = "model.layers.{}.self_attn.query_layernorm.weight";
  d.names.k_norm = "model.layers.{}.self_attn.key_layernorm.weight";
  return fields::finish(f, std::move(d));
}

Result<DecoderDescription> from_gguf(const Gguf& gguf) {
  fields::GgufFields f(gguf);
  DecoderDescription d = fields::common(f, {.family = "hunyuan_v1_dense"});
  norm_behind_rope(d.config);
  fields::add_head_norms(gguf, d.names);
  return fields::finish(f, std::move(d));
}

}  // namespace

const Family kHunyuan = {"hunyuan_v1_dense", kModelTypes, kArchitectures, from_hugging_face, from_gguf};

}  // namespace hearth
