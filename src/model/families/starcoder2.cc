#include <array>

#include "model/families/every_layer.h"
#include "model/families/family.h"
#include "model/families/gguf_fields.h"
#include "model/families/hugging_face_fields.h"

// StarCoder 2 (arXiv 2402.19173): layer norms and biases everywhere, a feed-forward part that is not gated.
namespace hearth {
namespace {

constexpr std::array<std::string_view, 1> kModelTypes = {"starcoder2"};
constexpr std::array<std::string_view, 1> kArchitectures = {"starcoder2"};

Result<DecoderDescription> from_hugging_face(const nlohmann::json& config) {
  fields::HuggingFaceFields f(config);
  DecoderDescription d = fields::common(f, {.family = "starcoder2",
                                            .sizes = {3072, 12288, 30, 24, 49152},
                                            .context_length = 4096,
                                            .kv_heads = 2,
                                            .tied_embeddings = true,
                                            .activation = Activation::gelu_tanh,
                                            .gated = false,
                                            .norm = NormKind::layer,
                                            .epsilon_key = "norm_epsilon",
                                            .epsilon = 1e-5F});
  fields::set_window_everywhere(d.config, f.u32("sliding_window", 0));
  const std::string layer = "model.layers.{}.";
  d.names.attention_norm_bias = layer + "input_layernorm.bias";
  d.names.feed_forward_norm_bias = layer + "post_attention_layernorm.bias";
  d.names.output_norm_bias = "model.norm.bias";
  d.names.up = layer + "mlp.c_fc.weight";
  d.names.down = layer + "mlp.c_proj.weight";
  if (f.boolean("use_bias", true)) {
    fields::add_qkv_biases(d.names);
    d.names.output_bias = layer + "self_attn.o_proj.bias";
    d.names.up_bias = layer + "mlp.c_fc.bias";
    d.names.down_bias = layer + "mlp.c_proj.bias";
  }
  return fields::finish(f, std::move(d));
}

Result<DecoderDescription> from_gguf(const Gguf& gguf) {
  fields::GgufFields f(gguf);
  DecoderDescription d = fields::common(
      f, {.family = "starcoder2", .activation = Activation::gelu_tanh, .gated = false, .norm = NormKind::layer});
  // llama.cpp's converter leaves the window out: layers of its files see everything.
  fields::set_window_everywhere(d.config, f.u32("attention.sliding_window", 0));
  return fields::finish(f, std::move(d));
}

}  // namespace

const Family kStarcoder2 = {"starcoder2", kModelTypes, kArchitectures, from_hugging_face, from_gguf};

}  // namespace hearth
