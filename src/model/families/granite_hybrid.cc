#include <array>

#include "model/families/granite_factors.h"
#include "model/families/mamba_fields.h"

// Granite 4 (IBM): Granite with Mamba 2 in most layers, in the larger ones experts beside a shared part.
namespace hearth {
namespace {

constexpr std::array<std::string_view, 1> kModelTypes = {"granitemoehybrid"};
constexpr std::array<std::string_view, 1> kArchitectures = {"granitehybrid"};

Mamba2Config mamba_of(fields::HuggingFaceFields& f, uint32_t hidden) {
  Mamba2Config mamba = {.heads = f.u32("mamba_n_heads", 128),
                        .groups = f.u32("mamba_n_groups", 1),
                        .state_dim = f.u32("mamba_d_state", 256),
                        .kernel = f.u32("mamba_d_conv", 4),
                        .least_step = fields::least_step(f)};
  const uint64_t width = uint64_t{f.u32("mamba_expand", 2)} * hidden;
  const bool is_auto = !f.has("mamba_d_head") || f.value("mamba_d_head") == "auto";
  if (mamba.heads > 0) mamba.head_dim = is_auto ? static_cast<uint32_t>(width / mamba.heads) : f.u32("mamba_d_head");
  if (uint64_t{mamba.heads} * mamba.head_dim != width) f.fail("mamba_n_heads and mamba_d_head do not fit mamba_expand");
  return mamba;
}

void set_layers(fields::HuggingFaceFields& f, DecoderConfig& c) {
  const Mamba2Config mamba = mamba_of(f, c.hidden);
  auto kinds = fields::layer_kinds(f, {"layer_types", "layers_block_type"});
  if (kinds.empty()) kinds.assign(c.layers.size(), "mamba");
  if (kinds.size() != c.layers.size()) return f.fail("layer_types is not a list with an entry for each layer");
  const bool has_rope = f.string("position_embedding_type", "") == "rope";
  for (uint32_t i = 0; i < kinds.size(); ++i) {
    if (kinds[i] == "mamba") {
      c.layers[i].mixer = mamba;
    } else if (kinds[i] == "attention") {
      if (!has_rope) std::get<AttentionConfig>(c.layers[i].mixer).rope.reset();
    } else {
      return f.fail("layer_types has " + kinds[i], ErrorCode::unsupported);
    }
  }
}

/// A shared part in every layer, and experts beside it where there are any.
void set_feed_forward(DecoderConfig& c, ExpertsConfig experts) {
  for (LayerConfig& layer : c.layers) {
    auto& dense = std::get<DenseConfig>(layer.feed_forward);
    experts.width = dense.width;
    experts.activation = dense.activation;
    dense.width = experts.shared_width;
    if (experts.experts > 0) layer.feed_forward = experts;
  }
}

void name_tensors(TensorNames& n, bool has_experts) {
  const std::string layer = "model.layers.{}.", shared = layer + "shared_mlp.";
  n.router = layer + "block_sparse_moe.router.layer.weight";
  n.expert_gate_up = layer + "block_sparse_moe.input_linear.weight";
  n.expert_down = layer + "block_sparse_moe.output_linear.weight";
  (has_experts ? n.shared_gate_up : n.gate_up) = shared + "input_linear.weight";
  (has_experts ? n.shared_down : n.down) = shared + "output_linear.weight";
}

Result<DecoderDescription> from_hugging_face(const nlohmann::json& config) {
  fields::HuggingFaceFields f(config);
  DecoderDescription d = fields::common(f, {.family = "granitemoehybrid", .sizes = {4096, 11008, 32, 32, 32000}});
  ExpertsConfig experts = {.experts = f.u32("num_local_experts", 8),
                           .chosen = f.u32("num_experts_per_tok", 2),
                           .router = RouterKind::softmax_of_chosen};
  experts.shared_width = f.u32("shared_intermediate_size", 1024);
  for (const LayerConfig& layer : d.config.layers) {
    if (std::get<DenseConfig>(layer.feed_forward).activation == Activation::silu) continue;
    // It is that of the convolution, too.
    f.fail("hidden_act is not silu, which is not supported for this family", ErrorCode::unsupported);
  }
  set_feed_forward(d.config, experts);
  set_layers(f, d.config);
  fields::set_granite_factors(f, d.config);
  fields::add_attention_biases(f, d.names);
  fields::name_mamba(d.names, "model.layers.{}.mamba.", f.boolean("mamba_proj_bias", false),
                     f.boolean("mamba_conv_bias", true));
  name_tensors(d.names, experts.experts > 0);
  return fields::finish(f, std::move(d));
}

Result<DecoderDescription> from_gguf(const Gguf& gguf) {
  fields::GgufFields f(gguf);
  DecoderDescription d =
      fields::common(f, {.family = "granitemoehybrid", .interleaved_rope = true, .has_parts_by_layer = true});
  const auto layers = static_cast<uint32_t>(d.config.layers.size());
  const std::vector<uint32_t> kv_heads = f.u32_of_layers("attention.head_count_kv", layers, 1);
  if (f.u32("expert_count", 0) > 0) {
    ExpertsConfig experts = fields::experts_of(f, d.names);
    experts.width = f.u32("feed_forward_length");
    experts.router = RouterKind::softmax_of_chosen;
    experts.shared_width = f.u32("expert_shared_feed_forward_length", 0);
    d.names.shared_gate = "blk.{}.ffn_gate_shexp.weight";
    d.names.shared_up = "blk.{}.ffn_up_shexp.weight";
    d.names.shared_down = "blk.{}.ffn_down_shexp.weight";
    fields::set_experts(d.config, experts, [](uint32_t) { return true; });
  }
  const Mamba2Config mamba = fields::mamba_of(f, d.names);
  const bool has_rope = f.boolean("rope.scaling.finetuned", true);
  for (uint32_t i = 0; i < layers; ++i) {
    if (kv_heads[i] == 0) d.config.layers[i].mixer = mamba;
  }
  d.config.for_each_attention([&](AttentionConfig& attention) {
    if (!has_rope) attention.rope.reset();
  });
  fields::set_granite_factors(f, d.config);
  return fields::finish(f, std::move(d));
}

}  // namespace

const Family kGraniteHybrid = {"granitemoehybrid", kModelTypes, kArchitectures, from_hugging_face, from_gguf};

}  // namespace hearth
