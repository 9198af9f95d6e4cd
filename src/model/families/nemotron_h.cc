#include <array>
#include <optional>

#include "model/families/mamba_fields.h"

// Nemotron-H (arXiv 2504.03624) and Nemotron 3: each layer is one part only: Mamba 2, attention without positions, a
// feed-forward part with squared relus, or a mixture of such parts, chosen by sigmoids with a correction.
namespace hearth {
namespace {

constexpr std::array<std::string_view, 1> kModelTypes = {"nemotron_h"};
constexpr std::array<std::string_view, 2> kArchitectures = {"nemotron_h", "nemotron_h_moe"};

constexpr float kLeastStep = 1e-3F;

/// The first form of the list: a letter for each layer.
std::vector<std::string> kinds_of_pattern(const std::string& pattern) {
  std::vector<std::string> kinds;
  for (const char letter : pattern) {
    kinds.emplace_back(letter == 'M'   ? "mamba"
                       : letter == '*' ? "attention"
                       : letter == '-' ? "mlp"
                       : letter == 'E' ? "moe"
                                       : std::string(1, letter));
  }
  return kinds;
}

/// The layers' kinds decide how many there are.
std::vector<std::string> read_kinds(fields::HuggingFaceFields& f) {
  std::vector<std::string> kinds = fields::layer_kinds(f, {"layers_block_type", "layer_types"});
  const std::string pattern = f.string("hybrid_override_pattern", "");
  return kinds.empty() ? kinds_of_pattern(pattern) : kinds;
}

nlohmann::json with_layer_count(nlohmann::json config) {
  fields::HuggingFaceFields f(config);
  const size_t layers = read_kinds(f).size();
  if (layers > 0) config["num_hidden_layers"] = layers;
  return config;
}

/// Routed experts and a shared one, which has a width of its own.
ExpertsConfig experts_of(fields::HuggingFaceFields& f, Activation activation) {
  if (f.has("moe_latent_size")) f.fail("moe_latent_size is not supported", ErrorCode::unsupported);
  if (f.boolean("mlp_bias", false)) f.fail("mlp_bias beside experts is not supported", ErrorCode::unsupported);
  return {.experts = f.u32("n_routed_experts", 8),
          .chosen = f.u32("num_experts_per_tok", 2),
          .width = f.u32("moe_intermediate_size", 7688),
          .activation = activation,
          .gated = false,
          .router = RouterKind::sigmoid,
          .groups = f.u32("n_group", 1),
          .chosen_groups = f.u32("topk_group", 1),
          .normalise = f.boolean("norm_topk_prob", true),
          .scale = f.f32("routed_scaling_factor", 1.0F),
          .shared_width = f.u32("moe_shared_expert_intermediate_size", 7688)};
}

/// What a layer of this kind has, of the attention and the dense part that it came with; false for kinds not known.
bool set_kind(fields::HuggingFaceFields& f, const std::string& kind, const Mamba2Config& mamba, LayerConfig& layer) {
  const Activation activation = std::get<DenseConfig>(layer.feed_forward).activation;
  if (kind == "mamba") {
    layer = {.mixer = mamba, .feed_forward = NoFeedForward{}};
  } else if (kind == "attention") {
    layer.feed_forward = NoFeedForward{};
  } else if (kind == "mlp") {
    layer.mixer = NoMixer{};
  } else if (kind == "moe") {
    layer = {.mixer = NoMixer{}, .feed_forward = experts_of(f, activation)};
  } else {
    return false;
  }
  return true;
}

void set_layers(fields::HuggingFaceFields& f, DecoderConfig& c, const Mamba2Config& mamba) {
  const std::vector<std::string> kinds = read_kinds(f);
  if (kinds.size() != c.layers.size()) return f.fail("layers_block_type names no layers, or too many");
  for (uint32_t i = 0; i < kinds.size(); ++i) {
    if (set_kind(f, kinds[i], mamba, c.layers[i])) continue;
    return f.fail("layers_block_type has " + kinds[i] + ", which is not supported", ErrorCode::unsupported);
  }
  // Of mixtures where none of the layers is one, of layers that predict more tokens, and of training.
  for (const char* key : {"n_routed_experts",
                          "moe_intermediate_size",
                          "moe_latent_size",
                          "moe_shared_expert_intermediate_size",
                          "moe_shared_expert_overlap",
                          "n_group",
                          "topk_group",
                          "n_shared_experts",
                          "norm_topk_prob",
                          "num_experts_per_tok",
                          "routed_scaling_factor",
                          "num_nextn_predict_layers",
                          "mtp_layers_block_type",
                          "chunk_size",
                          "expand",
                          "mamba_proj_bias",
                          "mamba_ssm_cache_dtype",
                          "num_logits_to_keep",
                          "rescale_prenorm_residual",
                          "residual_in_fp32",
                          "time_step_floor",
                          "time_step_max",
                          "use_mamba_kernels"}) {
    f.pass_over(key);
  }
}

void name_tensors(fields::HuggingFaceFields& f, TensorNames& n) {
  const std::string layer = "backbone.layers.{}.", mixer = layer + "mixer.";
  n.embedding = "backbone.embeddings.weight";
  n.output_norm = "backbone.norm_f.weight";
  n.attention_norm = n.feed_forward_norm = layer + "norm.weight";
  n.q = mixer + "q_proj.weight";
  n.k = mixer + "k_proj.weight";
  n.v = mixer + "v_proj.weight";
  n.output = mixer + "o_proj.weight";
  n.up = mixer + "up_proj.weight";
  n.down = mixer + "down_proj.weight";
  if (f.boolean("mlp_bias", false)) {
    n.up_bias = mixer + "up_proj.bias";
    n.down_bias = mixer + "down_proj.bias";
  }
  n.router = mixer + "gate.weight";
  n.router_correction = mixer + "gate.e_score_correction_bias";
  n.expert_up = mixer + "experts.{e}.up_proj.weight";
  n.expert_down = mixer + "experts.{e}.down_proj.weight";
  n.shared_up = mixer + "shared_experts.up_proj.weight";
  n.shared_down = mixer + "shared_experts.down_proj.weight";
  fields::name_mamba(n, mixer, f.boolean("use_bias", false),
                     f.boolean("use_conv_bias", f.boolean("mamba_conv_bias", true)));
}

Result<DecoderDescription> from_hugging_face(const nlohmann::json& given) {
  const nlohmann::json config = with_layer_count(given);
  fields::HuggingFaceFields f(config);
  DecoderDescription d = fields::common(f, {.family = "nemotron_h",
                                            .sizes = {4096, 21504, 4, 32, 131072},
                                            .context_length = 4096,
                                            .kv_heads = 8,
                                            .head_dim = 128,
                                            .activation_key = "mlp_hidden_act",
                                            .activation = Activation::relu_squared,
                                            .gated = false,
                                            .epsilon_key = "layer_norm_epsilon",
                                            .epsilon = 1e-5F});
  d.config.for_each_attention([](AttentionConfig& attention) { attention.rope.reset(); });
  if (f.string("mamba_hidden_act", "silu") != "silu") f.fail("mamba_hidden_act is not silu", ErrorCode::unsupported);
  // transformers' prompts have time_step_min as the least step, whatever time_step_limit says.
  const float least_step = std::max(fields::least_step(f), f.f32("time_step_min", kLeastStep));
  set_layers(f, d.config,
             {.heads = f.u32("mamba_num_heads", 128),
              .head_dim = f.u32("mamba_head_dim", 64),
              .groups = f.u32("n_groups", f.u32("mamba_n_groups", 8)),
              .state_dim = f.u32("ssm_state_size", 128),
              .kernel = f.u32("conv_kernel", f.u32("mamba_d_conv", 4)),
              .least_step = least_step});
  name_tensors(f, d.names);
  return fields::finish(f, std::move(d));
}

/// Experts of the layers that have a router; nothing where none has.
std::optional<ExpertsConfig> mixture_of(fields::GgufFields& f, TensorNames& n) {
  if (f.u32("expert_count", 0) == 0) return {};
  ExpertsConfig experts = fields::experts_of(f, n);
  fields::expect_sigmoids(f);
  experts.router = RouterKind::sigmoid;
  experts.activation = Activation::relu_squared;
  experts.gated = false;
  experts.shared_width = f.u32("expert_shared_feed_forward_length", 0);
  f.pass_over("expert_shared_count");  // 1, of that width
  n.router_correction = "blk.{}.exp_probs_b.bias";
  n.shared_up = "blk.{}.ffn_up_shexp.weight";
  n.shared_down = "blk.{}.ffn_down_shexp.weight";
  return experts;
}

Result<DecoderDescription> from_gguf(const Gguf& gguf) {
  fields::GgufFields f(gguf);
  DecoderDescription d = fields::common(
      f, {.family = "nemotron_h", .activation = Activation::relu_squared, .gated = false, .has_parts_by_layer = true});
  d.extra_layers = f.u32("nextn_predict_layers", 0);
  d.config.layers.resize(d.config.layers.size() - std::min<size_t>(d.config.layers.size(), d.extra_layers));
  const auto layers = static_cast<uint32_t>(d.config.layers.size());
  const std::vector<uint32_t> kv_heads = f.u32_of_layers("attention.head_count_kv", layers, 1);
  const std::vector<uint32_t> widths = f.u32_of_layers("feed_forward_length", layers, 1);
  Mamba2Config mamba = fields::mamba_of(f, d.names);
  mamba.least_step = kLeastStep;
  const std::optional<ExpertsConfig> experts = mixture_of(f, d.names);
  for (uint32_t i = 0; i < layers; ++i) {
    LayerConfig& layer = d.config.layers[i];
    if (widths[i] == 0) layer.feed_forward = NoFeedForward{};
    if (kv_heads[i] == 0 && widths[i] == 0) layer.mixer = mamba;
    if (kv_heads[i] == 0 && widths[i] > 0) layer.mixer = NoMixer{};
    if (experts && gguf.contains(in_layer(d.names.router, i))) layer.feed_forward = *experts;
  }
  d.config.for_each_attention([](AttentionConfig& attention) { attention.rope.reset(); });
  d.names.feed_forward_norm = d.names.attention_norm;
  return fields::finish(f, std::move(d));
}

}  // namespace

const Family kNemotronH = {"nemotron_h", kModelTypes, kArchitectures, from_hugging_face, from_gguf};

}  // namespace hearth
