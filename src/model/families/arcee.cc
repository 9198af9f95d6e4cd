#include <array>

#include "model/families/family.h"
#include "model/families/gguf_fields.h"
#include "model/families/hugging_face_fields.h"

// AFM (Arcee): Llama whose feed-forward part is not gated, with squared relu.
namespace hearth {
namespace {

constexpr std::array<std::string_view, 1> kModelTypes = {"arcee"};
constexpr std::array<std::string_view, 1> kArchitectures = {"arcee"};

Result<DecoderDescription> from_hugging_face(const nlohmann::json& config) {
  fields::HuggingFaceFields f(config);
  DecoderDescription d = fields::common(f, {.family = "arcee",
                                            .sizes = {2560, 18432, 32, 32, 32000},
                                            .context_length = 4096,
                                            .activation = Activation::relu_squared,
                                            .gated = false,
                                            .epsilon = 1e-5F});
  fields::add_attention_biases(f, d.names);
  fields::add_feed_forward_biases(f, d.names);
  return fields::finish(f, std::move(d));
}

Result<DecoderDescription> from_gguf(const Gguf& gguf) {
  fields::GgufFields f(gguf);
  return fields::finish(
      f, fields::common(
             f, {.family = "arcee", .interleaved_rope = true, .activation = Activation::relu_squared, .gated = false}));
}

}  // namespace

const Family kArcee = {"arcee", kModelTypes, kArchitectures, from_hugging_face, from_gguf};

}  // namespace hearth
