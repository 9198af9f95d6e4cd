#include <array>

#include "model/families/expert_fields.h"

// gpt-oss (arXiv 2508.10925): experts with biases and a clamped gate, attention with sinks, every other layer with a
// window, on a yarn rope whose bounds are not rounded to whole dimensions.
namespace hearth {
namespace {

constexpr std::array<std::string_view, 1> kModelTypes = {"gpt_oss"};
constexpr std::array<std::string_view, 1> kArchitectures = {"gpt-oss"};

bool is_sliding(uint32_t layer) { return layer % 2 == 0; }

/// (up + 1) * gate * sigmoid(1.702 gate), both clamped: what configurations call silu.
ExpertsConfig clamped(ExpertsConfig experts, float limit) {
  experts.router = RouterKind::softmax_of_chosen;
  experts.activation = Activation::quick_gelu;
  experts.limit = limit;
  experts.up_offset = 1.0F;
  return experts;
}

/// With the rope that transformers takes where the configuration has none.
nlohmann::json with_rope(nlohmann::json config) {
  if (config.contains("rope_parameters") || config.contains("rope_scaling")) return config;
  config["rope_parameters"] = {
      {"rope_type", "yarn"}, {"rope_theta", 150000.0}, {"factor", 32.0},   {"original_max_position_embeddings", 4096},
      {"beta_fast", 32.0},   {"beta_slow", 1.0},       {"truncate", false}};
  return config;
}

Result<DecoderDescription> from_hugging_face(const nlohmann::json& given) {
  const nlohmann::json config = with_rope(given);
  fields::HuggingFaceFields f(config);
  DecoderDescription d = fields::common(f, {.family = "gpt_oss",
                                            .sizes = {2880, 2880, 36, 64, 201088},
                                            .rope_theta = 150000.0,
                                            .context_length = 131072,
                                            .kv_heads = 8,
                                            .head_dim = 64,
                                            .epsilon = 1e-5F});
  if (f.string("hidden_act", "silu") != "silu") f.fail("hidden_act is not silu", ErrorCode::unsupported);
  fields::set_windows(f, f.u32("sliding_window", 128), d.config, is_sliding);
  const ExpertsConfig experts = {.experts = f.u32("num_local_experts", 128),
                                 .chosen = f.u32("num_experts_per_tok", f.u32("experts_per_token", 4)),
                                 .width = f.u32("intermediate_size", 2880)};
  fields::set_experts(d.config, clamped(experts, f.f32("swiglu_limit", 7.0F)), [](uint32_t) { return true; });
  f.pass_over("initial_context_length");  // the rope's original_max_position_embeddings
  fields::add_attention_biases(f, d.names, true);
  TensorNames& n = d.names;
  const std::string mlp = "model.layers.{}.mlp.";
  n.sinks = "model.layers.{}.self_attn.sinks";
  n.router = mlp + "router.weight";
  n.router_bias = mlp + "router.bias";
  n.expert_gate_up = mlp + "experts.gate_up_proj";
  n.expert_down = mlp + "experts.down_proj";
  n.expert_gate_up_bias = mlp + "experts.gate_up_proj_bias";
  n.expert_down_bias = mlp + "experts.down_proj_bias";
  n.expert_columns = n.gates_alternate = true;
  return fields::finish(f, std::move(d));
}

Result<DecoderDescription> from_gguf(const Gguf& gguf) {
  fields::GgufFields f(gguf);
  DecoderDescription d =
      fields::common(f, {.family = "gpt_oss", .whole_yarn_dimensions = false, .has_feed_forward_length = false});
  f.pass_over("feed_forward_length");  // the experts', again
  fields::set_windows(f, f.u32("attention.sliding_window"), d.config, is_sliding);
  const ExpertsConfig experts = clamped(fields::experts_of(f, d.names), 7.0F);
  fields::set_experts(d.config, experts, [](uint32_t) { return true; });
  TensorNames& n = d.names;
  const std::string layer = "blk.{}.";
  n.feed_forward_norm = layer + "post_attention_norm.weight";
  n.sinks = layer + "attn_sinks.weight";
  n.router_bias = layer + "ffn_gate_inp.bias";
  n.expert_gate_bias = layer + "ffn_gate_exps.bias";
  n.expert_up_bias = layer + "ffn_up_exps.bias";
  n.expert_down_bias = layer + "ffn_down_exps.bias";
  return fields::finish(f, std::move(d));
}

}  // namespace

const Family kGptOss = {"gpt_oss", kModelTypes, kArchitectures, from_hugging_face, from_gguf};

}  // namespace hearth
