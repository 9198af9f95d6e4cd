#include <array>

#include "model/families/every_layer.h"
#include "model/families/family.h"
#include "model/families/gguf_fields.h"
#include "model/families/hugging_face_fields.h"

// StableLM (arXiv 2402.17834): Llama with layer norms and a quarter of a head turned.
namespace hearth {
namespace {

constexpr std::array<std::string_view, 1> kModelTypes = {"stablelm"};
constexpr std::array<std::string_view, 1> kArchitectures = {"stablelm"};

Result<DecoderDescription> from_hugging_face(const nlohmann::json& config) {
  fields::HuggingFaceFields f(config);
  DecoderDescription d = fields::common(f, {.family = "stablelm",
                                            .sizes = {2560, 6912, 32, 32, 50304},
                                            .partial_rotary = 0.25F,
                                            .context_length = 4096,
                                            .kv_heads = 32,
                                            .norm = NormKind::layer,
                                            .epsilon_key = "layer_norm_eps",
                                            .epsilon = 1e-5F});
  if (f.boolean("use_qkv_bias", false)) fields::add_qkv_biases(d.names);
  const std::string layer = "model.layers.{}.";
  d.names.attention_norm_bias = layer + "input_layernorm.bias";
  d.names.feed_forward_norm_bias = layer + "post_attention_layernorm.bias";
  d.names.output_norm_bias = "model.norm.bias";
  if (f.boolean("use_parallel_residual", false)) {
    for (LayerConfig& layer_config : d.config.layers) layer_config.parallel = true;
    d.names.feed_forward_norm = d.names.feed_forward_norm_bias = "";
  }
  if (f.boolean("qk_layernorm", false)) {
    fields::norm_heads_by_layer_norms(d.config);
    d.names.q_norm = layer + "self_attn.q_layernorm.norms.{h}.weight";
    d.names.k_norm = layer + "self_attn.k_layernorm.norms.{h}.weight";
  }
  return fields::finish(f, std::move(d));
}

Result<DecoderDescription> from_gguf(const Gguf& gguf) {
  fields::GgufFields f(gguf);
  DecoderDescription d = fields::common(f, {.family = "stablelm", .norm = NormKind::layer});
  if (f.boolean("use_parallel_residual", false)) {
    for (LayerConfig& layer : d.config.layers) layer.parallel = true;
    d.names.feed_forward_norm = d.names.feed_forward_norm_bias = "";
  }
  fields::norm_heads_by_layer_norms(d.config);
  fields::add_head_norms(gguf, d.names);
  return fields::finish(f, std::move(d));
}

}  // namespace

const Family kStableLm = {"stablelm", kModelTypes, kArchitectures, from_hugging_face, from_gguf};

}  // namespace hearth
