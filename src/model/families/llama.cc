#include <array>

#include "model/families/family.h"
#include "model/families/gguf_fields.h"
#include "model/families/hugging_face_fields.h"

// Llama (arXiv 2302.13971, 2407.21783) and everything that shares its architecture, such as SmolLM2.
namespace hearth {
namespace {

constexpr std::array<std::string_view, 1> kModelTypes = {"llama"};
constexpr std::array<std::string_view, 1> kArchitectures = {"llama"};

Result<DecoderDescription> from_hugging_face(const nlohmann::json& config) {
  fields::HuggingFaceFields f(config);
  DecoderDescription d = fields::common(f, {.family = "llama"});
  fields::add_attention_biases(f, d.names);
  fields::add_feed_forward_biases(f, d.names);
  return fields::finish(f, std::move(d));
}

Result<DecoderDescription> from_gguf(const Gguf& gguf) {
  fields::GgufFields f(gguf);
  DecoderDescription d = fields::common(f, {.family = "llama", .interleaved_rope = true});
  const uint32_t window = f.u32("attention.sliding_window", 0);  // Mistral's, over all layers
  d.config.for_each_attention([&](AttentionConfig& attention) { attention.window = window; });
  return fields::finish(f, std::move(d));
}

}  // namespace

const Family kLlama = {"llama", kModelTypes, kArchitectures, from_hugging_face, from_gguf};

}  // namespace hearth
