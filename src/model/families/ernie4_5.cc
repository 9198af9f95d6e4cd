#include <array>

#include "model/families/family.h"
#include "model/families/gguf_fields.h"
#include "model/families/hugging_face_fields.h"

// ERNIE 4.5 dense models (Baidu): Llama whose ropes turn neighbours.
namespace hearth {
namespace {

constexpr std::array<std::string_view, 1> kModelTypes = {"ernie4_5"};
constexpr std::array<std::string_view, 1> kArchitectures = {"ernie4_5"};

Result<DecoderDescription> from_hugging_face(const nlohmann::json& config) {
  fields::HuggingFaceFields f(config);
  DecoderDescription d = fields::common(f, {.family = "ernie4_5",
                                            .sizes = {1024, 3072, 18, 16, 103424},
                                            .rope_theta = 500000.0,
                                            .interleaved_rope = true,
                                            .context_length = 131072,
                                            .kv_heads = 2,
                                            .head_dim = 128,
                                            .tied_embeddings = true,
                                            .epsilon = 1e-5F});
  if (f.boolean("use_bias", false)) {
    fields::add_qkv_biases(d.names);
    d.names.output_bias = "model.layers.{}.self_attn.o_proj.bias";
    d.names.gate_bias = "model.layers.{}.mlp.gate_proj.bias";
    d.names.up_bias = "model.layers.{}.mlp.up_proj.bias";
    d.names.down_bias = "model.layers.{}.mlp.down_proj.bias";
  }
  return fields::finish(f, std::move(d));
}

Result<DecoderDescription> from_gguf(const Gguf& gguf) {
  fields::GgufFields f(gguf);
  return fields::finish(f, fields::common(f, {.family = "ernie4_5", .interleaved_rope = true}));
}

}  // namespace

const Family kErnie = {"ernie4_5", kModelTypes, kArchitectures, from_hugging_face, from_gguf};

}  // namespace hearth
