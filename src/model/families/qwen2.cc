#include <array>

#include "model/families/family.h"
#include "model/families/gguf_fields.h"
#include "model/families/hugging_face_fields.h"

// Qwen 2 and 2.5 (arXiv 2407.10671): Llama with biases on Q, K and V.
namespace hearth {
namespace {

constexpr std::array<std::string_view, 1> kModelTypes = {"qwen2"};
constexpr std::array<std::string_view, 1> kArchitectures = {"qwen2"};

Result<DecoderDescription> from_hugging_face(const nlohmann::json& config) {
  fields::HuggingFaceFields f(config);
  DecoderDescription d = fields::common(
      f, {.family = "qwen2", .sizes = {4096, 22016, 32, 32, 151936}, .context_length = 32768, .kv_heads = 32});
  fields::add_qkv_biases(d.names);
  if (f.boolean("use_sliding_window", false)) {
    const uint32_t full_layers = f.u32("max_window_layers", 28);
    fields::set_windows(f, f.u32("sliding_window", 4096, 0), d.config,
                        [&](uint32_t layer) { return layer >= full_layers; });
  }
  f.pass_over("sliding_window");  // which means nothing without use_sliding_window
  return fields::finish(f, std::move(d));
}

Result<DecoderDescription> from_gguf(const Gguf& gguf) {
  fields::GgufFields f(gguf);
  return fields::finish(f, fields::common(f, {.family = "qwen2"}));
}

}  // namespace

const Family kQwen2 = {"qwen2", kModelTypes, kArchitectures, from_hugging_face, from_gguf};

}  // namespace hearth
