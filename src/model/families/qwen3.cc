#include <array>

#include "model/families/family.h"
#include "model/families/gguf_fields.h"
#include "model/families/hugging_face_fields.h"

// Qwen 3 (arXiv 2505.09388): Llama with norms on Q and K heads.
namespace hearth {
namespace {

constexpr std::array<std::string_view, 1> kModelTypes = {"qwen3"};
constexpr std::array<std::string_view, 1> kArchitectures = {"qwen3"};

Result<DecoderDescription> from_hugging_face(const nlohmann::json& config) {
  fields::HuggingFaceFields f(config);
  DecoderDescription d = fields::common(f, "qwen3", 1000000.0);
  if (!f.has("head_dim")) d.config.head_dim = 128;
  if (f.boolean("attention_bias", false)) f.fail("attention biases are not supported for qwen3");
  d.config.qk_norm = true;
  d.names.q_norm = "model.layers.{}.self_attn.q_norm.weight";
  d.names.k_norm = "model.layers.{}.self_attn.k_norm.weight";
  if (f.boolean("use_sliding_window", false)) {
    const uint32_t full_layers = f.u32("max_window_layers", 0);
    fields::set_windows(f, f.u32("sliding_window", 0), d.config.layers,
                        [&](uint32_t layer) { return layer >= full_layers; });
  }
  return fields::finish(f, std::move(d));
}

Result<DecoderDescription> from_gguf(const Gguf& gguf) {
  fields::GgufFields f(gguf);
  DecoderDescription d = fields::common(f, "qwen3", false);
  d.config.qk_norm = true;
  d.names.q_norm = "blk.{}.attn_q_norm.weight";
  d.names.k_norm = "blk.{}.attn_k_norm.weight";
  return fields::finish(f, std::move(d));
}

}  // namespace

const Family kQwen3 = {"qwen3", kModelTypes, kArchitectures, from_hugging_face, from_gguf};

}  // namespace hearth
