#include <array>

#include "model/families/every_layer.h"
#include "model/families/family.h"
#include "model/families/gguf_fields.h"
#include "model/families/hugging_face_fields.h"

// Mistral (arXiv 2310.06825): Llama with a window over all layers. Its GGUF files call themselves llama.
namespace hearth {
namespace {

constexpr std::array<std::string_view, 1> kModelTypes = {"mistral"};

Result<DecoderDescription> from_hugging_face(const nlohmann::json& config) {
  fields::HuggingFaceFields f(config);
  DecoderDescription d = fields::common(
      f, {.family = "mistral", .sizes = {4096, 14336, 32, 32, 32000}, .context_length = 131072, .kv_heads = 8});
  fields::set_window_everywhere(d.config, f.u32("sliding_window", 4096, 0));
  return fields::finish(f, std::move(d));
}

}  // namespace

const Family kMistral = {"mistral", kModelTypes, {}, from_hugging_face, nullptr};

}  // namespace hearth
