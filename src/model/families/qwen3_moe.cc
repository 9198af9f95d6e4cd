#include <array>

#include "model/families/expert_fields.h"

// Qwen 3's mixtures (arXiv 2505.09388): Qwen 3 with experts in all or some layers.
namespace hearth {
namespace {

constexpr std::array<std::string_view, 1> kModelTypes = {"qwen3_moe"};
constexpr std::array<std::string_view, 1> kArchitectures = {"qwen3moe"};

Result<DecoderDescription> from_hugging_face(const nlohmann::json& config) {
  fields::HuggingFaceFields f(config);
  DecoderDescription d = fields::common(
      f, {.family = "qwen3_moe", .sizes = {2048, 6144, 24, 32, 151936}, .context_length = 32768, .kv_heads = 4});
  const DenseConfig dense =
      std::get<DenseConfig>(d.config.layers.empty() ? DenseConfig{} : d.config.layers[0].feed_forward);
  ExpertsConfig experts = {.experts = f.u32("num_experts", f.u32("num_local_experts", 128)),
                           .chosen = f.u32("num_experts_per_tok", 8),
                           .width = f.u32("moe_intermediate_size", 768),
                           .activation = dense.activation,
                           .normalise = f.boolean("norm_topk_prob", false)};
  f.pass_over("num_local_experts");  // another name of the same
  const uint32_t step = std::max(1U, f.u32("decoder_sparse_step", 1));
  const nlohmann::json dense_layers = f.value("mlp_only_layers");
  fields::set_experts(d.config, experts, [&](uint32_t i) {
    const bool is_dense =
        dense_layers.is_array() && std::ranges::find(dense_layers, nlohmann::json(i)) != dense_layers.end();
    return !is_dense && (i + 1) % step == 0;
  });
  fields::add_attention_biases(f, d.names);
  fields::add_head_norms(f, d.names);
  fields::name_experts(d.names);
  if (f.boolean("use_sliding_window", false)) f.fail("use_sliding_window is not supported", ErrorCode::unsupported);
  f.pass_over("sliding_window");  // which means nothing without it
  return fields::finish(f, std::move(d));
}

Result<DecoderDescription> from_gguf(const Gguf& gguf) {
  fields::GgufFields f(gguf);
  DecoderDescription d = fields::common(f, {.family = "qwen3_moe"});
  ExpertsConfig experts = fields::experts_of(f, d.names);
  experts.normalise = true;  // as llama.cpp takes it for the architecture
  fields::set_experts(d.config, experts, [](uint32_t) { return true; });
  fields::add_head_norms(gguf, d.names);
  return fields::finish(f, std::move(d));
}

}  // namespace

const Family kQwen3Moe = {"qwen3_moe", kModelTypes, kArchitectures, from_hugging_face, from_gguf};

}  // namespace hearth
