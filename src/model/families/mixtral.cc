#include <array>

#include "model/families/expert_fields.h"

// Mixtral (arXiv 2401.04088): Mistral with experts in every layer. Its GGUF files call themselves llama.
namespace hearth {
namespace {

constexpr std::array<std::string_view, 1> kModelTypes = {"mixtral"};

Result<DecoderDescription> from_hugging_face(const nlohmann::json& config) {
  fields::HuggingFaceFields f(config);
  DecoderDescription d = fields::common(
      f, {.family = "mixtral", .rope_theta = 1e6, .context_length = 131072, .kv_heads = 8, .epsilon = 1e-5F});
  const uint32_t window = f.u32("sliding_window", 0);
  d.config.for_each_attention([&](AttentionConfig& attention) { attention.window = window; });
  const uint32_t count = f.u32("num_local_experts", 8), chosen = f.u32("num_experts_per_tok", 2);
  for (LayerConfig& layer : d.config.layers) {
    const DenseConfig dense = std::get<DenseConfig>(layer.feed_forward);
    layer.feed_forward = ExpertsConfig{.experts = count,
                                       .chosen = chosen,
                                       .width = dense.width,
                                       .activation = dense.activation,
                                       .router = RouterKind::softmax_of_chosen};
  }
  const std::string experts = "model.layers.{}.block_sparse_moe.";
  d.names.router = experts + "gate.weight";
  d.names.expert_gate = experts + "experts.{e}.w1.weight";
  d.names.expert_down = experts + "experts.{e}.w2.weight";
  d.names.expert_up = experts + "experts.{e}.w3.weight";
  return fields::finish(f, std::move(d));
}

}  // namespace

const Family kMixtral = {"mixtral", kModelTypes, {}, from_hugging_face, nullptr};

}  // namespace hearth
