#include <algorithm>
#include <array>

#include "model/families/family.h"
#include "model/families/gguf_fields.h"
#include "model/families/hugging_face_fields.h"

// Command R7B and A (Cohere, arXiv 2504.00698): one layer norm before attention and feed-forward part side by side;
// windowed layers with a rope, full ones without.
namespace hearth {
namespace {

constexpr std::array<std::string_view, 1> kModelTypes = {"cohere2"};
constexpr std::array<std::string_view, 1> kArchitectures = {"cohere2"};

constexpr uint32_t kPattern = 4;

void set_common(DecoderConfig& c, TensorNames& names) {
  for (LayerConfig& layer : c.layers) layer.parallel = true;
  c.for_each_attention([](AttentionConfig& attention) {
    if (attention.window == 0) attention.rope.reset();
  });
  names.feed_forward_norm = "";
}

Result<DecoderDescription> from_hugging_face(const nlohmann::json& config) {
  fields::HuggingFaceFields f(config);
  DecoderDescription d = fields::common(f, {.family = "cohere2",
                                            .sizes = {8192, 22528, 40, 64, 256000},
                                            .interleaved_rope = true,
                                            .context_length = 8192,
                                            .tied_embeddings = true,
                                            .norm = NormKind::layer,
                                            .epsilon_key = "layer_norm_eps",
                                            .epsilon = 1e-5F});
  d.config.logit_scale = f.f32("logit_scale", 0.0625F);
  fields::add_attention_biases(f, d.names);
  const uint32_t pattern = std::max(1U, f.u32("sliding_window_pattern", kPattern));
  fields::set_windows(f, f.u32("sliding_window", 4096, 0), d.config,
                      [&](uint32_t layer) { return (layer + 1) % pattern != 0; });
  set_common(d.config, d.names);
  return fields::finish(f, std::move(d));
}

Result<DecoderDescription> from_gguf(const Gguf& gguf) {
  fields::GgufFields f(gguf);
  DecoderDescription d = fields::common(f, {.family = "cohere2", .interleaved_rope = true, .norm = NormKind::layer});
  d.config.logit_scale = f.f32("logit_scale", 1.0F);
  fields::set_windows(f, f.u32("attention.sliding_window", 4096), d.config,
                      [](uint32_t layer) { return (layer + 1) % kPattern != 0; });
  set_common(d.config, d.names);
  return fields::finish(f, std::move(d));
}

}  // namespace

const Family kCohere2 = {"cohere2", kModelTypes, kArchitectures, from_hugging_face, from_gguf};

}  // namespace hearth
