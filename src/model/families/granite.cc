#include <array>

#include "model/families/family.h"
#include "model/families/gguf_fields.h"
#include "model/families/hugging_face_fields.h"

// Granite 3 (IBM): Llama with a factor on everything.
namespace hearth {
namespace {

constexpr std::array<std::string_view, 1> kModelTypes = {"granite"};
constexpr std::array<std::string_view, 1> kArchitectures = {"granite"};

void set_factors(DecoderConfig& c, float embedding, float branch, float attention, float logits) {
  c.embedding_scale = embedding;
  c.branch_scale = branch;
  c.logit_scale = 1.0F / logits;
  c.for_each_attention([&](AttentionConfig& layer) { layer.scale = attention; });
}

Result<DecoderDescription> from_hugging_face(const nlohmann::json& config) {
  fields::HuggingFaceFields f(config);
  DecoderDescription d = fields::common(f, {.family = "granite"});
  set_factors(d.config, f.f32("embedding_multiplier", 1.0F), f.f32("residual_multiplier", 1.0F),
              f.f32("attention_multiplier", 1.0F), f.f32("logits_scaling", 1.0F));
  fields::add_attention_biases(f, d.names);
  fields::add_feed_forward_biases(f, d.names);
  return fields::finish(f, std::move(d));
}

Result<DecoderDescription> from_gguf(const Gguf& gguf) {
  fields::GgufFields f(gguf);
  DecoderDescription d = fields::common(f, {.family = "granite", .interleaved_rope = true});
  set_factors(d.config, f.f32("embedding_scale", 1.0F), f.f32("residual_scale", 1.0F), f.f32("attention.scale", 1.0F),
              f.f32("logit_scale", 1.0F));
  return fields::finish(f, std::move(d));
}

}  // namespace

const Family kGranite = {"granite", kModelTypes, kArchitectures, from_hugging_face, from_gguf};

}  // namespace hearth
