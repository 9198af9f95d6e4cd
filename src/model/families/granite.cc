#include <array>

#include "model/families/granite_factors.h"

// Granite 3 (IBM): Llama with a factor on everything.
namespace hearth {
namespace {

constexpr std::array<std::string_view, 1> kModelTypes = {"granite"};
constexpr std::array<std::string_view, 1> kArchitectures = {"granite"};

Result<DecoderDescription> from_hugging_face(const nlohmann::json& config) {
  fields::HuggingFaceFields f(config);
  DecoderDescription d = fields::common(f, {.family = "granite", .sizes = {4096, 11008, 32, 32, 32000}});
  fields::set_granite_factors(f, d.config);
  fields::add_attention_biases(f, d.names);
  fields::add_feed_forward_biases(f, d.names);
  return fields::finish(f, std::move(d));
}

Result<DecoderDescription> from_gguf(const Gguf& gguf) {
  fields::GgufFields f(gguf);
  DecoderDescription d = fields::common(f, {.family = "granite", .interleaved_rope = true});
  fields::set_granite_factors(f, d.config);
  return fields::finish(f, std::move(d));
}

}  // namespace

const Family kGranite = {"granite", kModelTypes, kArchitectures, from_hugging_face, from_gguf};

}  // namespace hearth
