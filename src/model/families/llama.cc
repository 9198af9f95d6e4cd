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
  DecoderDescription d = fields::common(f, "llama", 10000.0);
  if (f.boolean("attention_bias", false) || f.boolean("mlp_bias", false)) f.fail("biases are not supported for llama");
  return fields::finish(f, std::move(d));
}

Result<DecoderDescription> from_gguf(const Gguf& gguf) {
  fields::GgufFields f(gguf);
  return fields::finish(f, fields::common(f, "llama", true));
}

}  // namespace

const Family kLlama = {"llama", kModelTypes, kArchitectures, from_hugging_face, from_gguf};

}  // namespace hearth
