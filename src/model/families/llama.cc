#include <array>

#include "model/families/every_layer.h"
#include "model/families/expert_fields.h"

// Llama (arXiv 2302.13971, 2407.21783) and everything that shares its architecture, such as SmolLM2.
namespace hearth {
namespace {

constexpr std::array<std::string_view, 1> kModelTypes = {"llama"};
constexpr std::array<std::string_view, 1> kArchitectures = {"llama"};

Result<DecoderDescription> from_hugging_face(const nlohmann::json& config) {
  fields::HuggingFaceFields f(config);
  DecoderDescription d = fields::common(f, {.family = "llama", .sizes = {4096, 11008, 32, 32, 32000}});
  fields::add_attention_biases(f, d.names);
  fields::add_feed_forward_biases(f, d.names);
  return fields::finish(f, std::move(d));
}

Result<DecoderDescription> from_gguf(const Gguf& gguf) {
  fields::GgufFields f(gguf);
  DecoderDescription d = fields::common(f, {.family = "llama", .interleaved_rope = true});
  fields::set_window_everywhere(d.config, f.u32("attention.sliding_window", 0));  // Mistral's, over all layers
  if (f.u32("expert_count", 0) > 0) {                                             // Mixtral's
    ExpertsConfig experts = fields::experts_of(f, d.names);
    experts.router = RouterKind::softmax_of_chosen;
    fields::set_experts(d.config, experts, [](uint32_t) { return true; });
  }
  return fields::finish(f, std::move(d));
}

}  // namespace

const Family kLlama = {"llama", kModelTypes, kArchitectures, from_hugging_face, from_gguf};

}  // namespace hearth
