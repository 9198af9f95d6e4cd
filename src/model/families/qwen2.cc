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
  DecoderDescription d = fields::common(f, "qwen2", 10000.0);
  d.config.qkv_bias = true;
  d.names.q_bias = "model.layers.{}.self_attn.q_proj.bias";
  d.names.k_bias = "model.layers.{}.self_attn.k_proj.bias";
  d.names.v_bias = "model.layers.{}.self_attn.v_proj.bias";
  if (f.boolean("use_sliding_window", false)) {
    const uint32_t full_layers = f.u32("max_window_layers", 0);
    fields::set_windows(f, f.u32("sliding_window", 0), d.config.layers,
                        [&](uint32_t layer) { return layer >= full_layers; });
  }
  return fields::finish(f, std::move(d));
}

Result<DecoderDescription> from_gguf(const Gguf& gguf) {
  fields::GgufFields f(gguf);
  DecoderDescription d = fields::common(f, "qwen2", false);
  d.config.qkv_bias = true;
  d.names.q_bias = "blk.{}.attn_q.bias";
  d.names.k_bias = "blk.{}.attn_k.bias";
  d.names.v_bias = "blk.{}.attn_v.bias";
  return fields::finish(f, std::move(d));
}

}  // namespace

const Family kQwen2 = {"qwen2", kModelTypes, kArchitectures, from_hugging_face, from_gguf};

}  // namespace hearth
