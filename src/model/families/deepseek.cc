#include <algorithm>
#include <array>
#include <cmath>

#include "model/families/deepseek_gguf.h"
#include "model/families/expert_fields.h"
#include "model/families/hugging_face_rope.h"
#include "model/rope.h"

// DeepSeek V2 (arXiv 2405.04434): latent attention, experts by softmax. V3 and R1 (arXiv 2412.19437), and Kimi K2 and
// GLM 4.7 Flash, which are built alike: experts by sigmoids with a correction for the choice.
namespace hearth {
namespace {

constexpr std::array<std::string_view, 1> kSoftmaxTypes = {"deepseek_v2"};
constexpr std::array<std::string_view, 2> kDeepseekTypes = {"deepseek_v3", "kimi_k2"};
constexpr std::array<std::string_view, 1> kGlmTypes = {"glm4_moe_lite"};
constexpr std::array<std::string_view, 1> kDeepseekArchitectures = {"deepseek2"};
constexpr std::array<std::string_view, 0> kNoArchitectures = {};

/// What each has as its own where config.json does not say it.
struct Usual {
  RouterKind router = RouterKind::sigmoid;
  uint32_t q_rank = 1536, nope_dim = 128, value_dim = 128;
  uint32_t experts = 0, chosen = 0, expert_width = 0, shared = 1, groups = 1, chosen_groups = 1, dense_layers = 0;
  float scale = 1.0F;
};

/// YaRN widens scores as well: its second magnitude counts twice, for q and for k.
float attention_scale(fields::HuggingFaceFields& f, const LatentAttentionConfig& c) {
  const nlohmann::json parameters = fields::single_rope_parameters(f);
  fields::HuggingFaceFields rope(parameters);
  double scale = 1 / std::sqrt(static_cast<double>(c.head_dim()));
  const float all = rope.f32("mscale_all_dim", 0.0F);
  const bool is_scaled = rope.string("rope_type", rope.string("type", "default")) != "default";
  if (is_scaled && all != 0 && !rope.has("factor")) {
    f.fail("rope parameters: there is an mscale_all_dim, but no factor", ErrorCode::unsupported);
  }
  if (is_scaled && all != 0) scale *= std::pow(yarn_magnitude(rope.f32("factor", 1.0F), all), 2);
  return static_cast<float>(scale);
}

void set_latent_attention(fields::HuggingFaceFields& f, DecoderDescription& d, const Usual& usual) {
  LatentAttentionConfig attention = {.nope_dim = f.u32("qk_nope_head_dim", usual.nope_dim),
                                     .rope_dim = f.u32("qk_rope_head_dim", 64),
                                     .value_dim = f.u32("v_head_dim", usual.value_dim),
                                     .latent_dim = f.u32("kv_lora_rank", 512),
                                     .q_rank = f.u32("q_lora_rank", usual.q_rank, 0)};
  d.config.for_each_attention([&](const AttentionConfig& usual_attention) {
    attention.heads = usual_attention.heads;
    if (usual_attention.kv_heads == usual_attention.heads) return;
    f.fail("num_key_value_heads is not num_attention_heads, but all heads share a row", ErrorCode::unsupported);
  });
  if (f.u32("qk_head_dim", attention.head_dim()) != attention.head_dim()) {
    f.fail("qk_head_dim is not the sum of its two parts");
  }
  // The norms of q and kv in between have transformers' default.
  attention.scale = attention_scale(f, attention);
  // V2 has no such key, and neighbours are always a pair.
  const bool interleaved = f.boolean("rope_interleave", true) || usual.router == RouterKind::softmax;
  d.config.ropes = {fields::single_rope(f, {.head_dim = attention.rope_dim, .interleaved = interleaved})};
  for (LayerConfig& layer : d.config.layers) layer.mixer = attention;

  TensorNames& n = d.names;
  const std::string part = "model.layers.{}.self_attn.";
  n.k = n.v = "";
  n.q = part + "q_proj.weight";
  if (attention.q_rank > 0) {
    n.q = part + "q_b_proj.weight";
    n.q_a = part + "q_a_proj.weight";
    n.q_a_norm = part + "q_a_layernorm.weight";
  }
  n.kv_a = part + "kv_a_proj_with_mqa.weight";
  n.kv_a_norm = part + "kv_a_layernorm.weight";
  n.kv_b = part + "kv_b_proj.weight";
  if (f.boolean("attention_bias", false)) {
    if (attention.q_rank > 0) n.q_a_bias = part + "q_a_proj.bias";
    n.kv_a_bias = part + "kv_a_proj_with_mqa.bias";
    n.output_bias = part + "o_proj.bias";
  }
}

/// How experts are chosen, and that it is not by other ways, which remote code of older files has.
void set_routing(fields::HuggingFaceFields& f, ExpertsConfig& experts, const Usual& usual) {
  const auto expect = [&](const char* key, std::initializer_list<std::string_view> known) {
    const std::string value = f.string(key, std::string(*known.begin()));
    if (std::ranges::find(known, value) != known.end()) return value;
    f.fail(std::string(key) + " '" + value.substr(0, 40) + "' is not supported", ErrorCode::unsupported);
    return value;
  };
  if (f.u32("moe_layer_freq", 1) != 1) f.fail("moe_layer_freq is not 1", ErrorCode::unsupported);
  experts.router = usual.router;
  experts.groups = f.u32("n_group", usual.groups, 1);
  experts.chosen_groups = f.u32("topk_group", usual.chosen_groups, 1);
  if (usual.router == RouterKind::sigmoid) {
    expect("topk_method", {"noaux_tc"});
    expect("scoring_func", {"sigmoid"});
    experts.normalise = f.boolean("norm_topk_prob", true);
    return;
  }
  expect("scoring_func", {"softmax"});
  if (expect("topk_method", {"greedy", "group_limited_greedy"}) == "greedy") experts.groups = experts.chosen_groups = 1;
  experts.group_raters = 1;
  // transformers would leave it out, the remote code would leave out the scale instead.
  if (f.boolean("norm_topk_prob", false)) f.fail("norm_topk_prob is not supported", ErrorCode::unsupported);
}

void set_mixtures(fields::HuggingFaceFields& f, DecoderDescription& d, const Usual& usual) {
  ExpertsConfig experts = {.experts = f.u32("n_routed_experts", usual.experts),
                           .chosen = f.u32("num_experts_per_tok", usual.chosen),
                           .width = f.u32("moe_intermediate_size", usual.expert_width),
                           .scale = f.f32("routed_scaling_factor", usual.scale)};
  set_routing(f, experts, usual);
  experts.shared_width = f.u32("n_shared_experts", usual.shared) * experts.width;
  const uint32_t dense_layers = f.u32("first_k_dense_replace", usual.dense_layers);
  const nlohmann::json& kinds = f.value("mlp_layer_types");
  const bool is_listed = !kinds.is_null();
  const auto is_kind = [](const nlohmann::json& kind) { return kind == "dense" || kind == "sparse"; };
  if (is_listed &&
      (!kinds.is_array() || kinds.size() != d.config.layers.size() || !std::ranges::all_of(kinds, is_kind))) {
    return f.fail("mlp_layer_types is not a list of dense or sparse for each layer");
  }
  fields::set_experts(d.config, experts,
                      [&](uint32_t i) { return is_listed ? kinds[i] == "sparse" : i >= dense_layers; });
  fields::name_experts(d.names);
  const std::string mlp = "model.layers.{}.mlp.";
  if (experts.router == RouterKind::sigmoid) d.names.router_correction = mlp + "gate.e_score_correction_bias";
  d.names.shared_gate = mlp + "shared_experts.gate_proj.weight";
  d.names.shared_up = mlp + "shared_experts.up_proj.weight";
  d.names.shared_down = mlp + "shared_experts.down_proj.weight";
  d.extra_layers = f.u32("num_nextn_predict_layers", 0);
}

Result<DecoderDescription> describe(const nlohmann::json& config, const fields::Defaults& defaults,
                                    const Usual& usual) {
  fields::HuggingFaceFields f(config);
  DecoderDescription d = fields::common(f, defaults);
  set_latent_attention(f, d, usual);
  set_mixtures(f, d, usual);
  return fields::finish(f, std::move(d));
}

Result<DecoderDescription> softmax_from_hugging_face(const nlohmann::json& config) {
  return describe(config,
                  {.family = "deepseek_v2",
                   .sizes = {4096, 11008, 32, 32, 102400},
                   .has_own_ropes = true,
                   .context_length = 2048,
                   .head_dim = 64},
                  {.router = RouterKind::softmax, .experts = 64, .expert_width = 1407, .shared = 2});
}

Result<DecoderDescription> deepseek_from_hugging_face(const nlohmann::json& config) {
  return describe(config,
                  {.family = "deepseek_v3",
                   .sizes = {7168, 18432, 61, 128, 129280},
                   .has_own_ropes = true,
                   .context_length = 4096,
                   .head_dim = 64},
                  {.experts = 256,
                   .chosen = 8,
                   .expert_width = 2048,
                   .groups = 8,
                   .chosen_groups = 4,
                   .dense_layers = 3,
                   .scale = 2.5F});
}

Result<DecoderDescription> glm_from_hugging_face(const nlohmann::json& config) {
  return describe(config,
                  {.family = "glm4_moe_lite",
                   .sizes = {2048, 10240, 47, 20, 154880},
                   .has_own_ropes = true,
                   .context_length = 202752,
                   .head_dim = 64,
                   .epsilon = 1e-5F},
                  {.q_rank = 768,
                   .nope_dim = 192,
                   .value_dim = 256,
                   .experts = 64,
                   .chosen = 4,
                   .expert_width = 1536,
                   .dense_layers = 1,
                   .scale = 1.8F});
}

}  // namespace

const Family kDeepseekV2 = {"deepseek_v2", kSoftmaxTypes, kNoArchitectures, softmax_from_hugging_face,
                            deepseek_from_gguf};
// GGUFs call all of them deepseek2.
const Family kDeepseekV3 = {"deepseek_v3", kDeepseekTypes, kDeepseekArchitectures, deepseek_from_hugging_face,
                            deepseek_from_gguf};
const Family kGlm4MoeLite = {"glm4_moe_lite", kGlmTypes, kNoArchitectures, glm_from_hugging_face, deepseek_from_gguf};

}  // namespace hearth
