#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include "model/families/expert_fields.h"
#include "model/families/hugging_face_rope.h"

// Gemma 4, the text decoder: Gemma 3 with norms on V too and no scale on q.k; layers that see everything have heads of
// another size, whose pairs turn only in part, and may take K for V; the last layers may read K and V of earlier ones.
// Small models tell each layer of a token anew, mixtures have experts beside the dense part.
namespace hearth {
namespace {

constexpr std::array<std::string_view, 1> kModelTypes = {"gemma4_text"};
constexpr std::array<std::string_view, 1> kArchitectures = {"gemma4"};
constexpr uint32_t kPattern = 6;

bool is_full(const AttentionConfig& attention) { return attention.window == 0; }

/// What all have, once windows and sizes are known. Rope 0 is the full layers', rope 1 the windowed ones'.
void set_common(DecoderConfig& c) {
  c.embedding_scale = std::sqrt(static_cast<float>(c.hidden));
  c.for_each_attention([&](AttentionConfig& attention) {
    attention.scale = 1.0F;
    attention.v_norm = true;
    attention.rope = is_full(attention) ? 0 : 1;
  });
}

/// The head size of full layers, or of windowed ones; the first such layer's, and 0 where there is none.
uint32_t head_dim_of(const DecoderConfig& c, bool full) {
  uint32_t head_dim = 0;
  c.for_each_attention([&](const AttentionConfig& attention) {
    if (head_dim == 0 && is_full(attention) == full) head_dim = attention.head_dim;
  });
  return head_dim;
}

/// The last `shared` layers read K and V of the last layer before them that sees as far as they do. False where there
/// is none.
bool share_keys_and_values(DecoderConfig& c, uint32_t shared) {
  const size_t own = c.layers.size() - std::min<size_t>(shared, c.layers.size());
  for (size_t i = own; i < c.layers.size(); ++i) {
    auto& reader = std::get<AttentionConfig>(c.layers[i].mixer);
    for (size_t j = 0; j < own; ++j) {
      const auto& read = std::get<AttentionConfig>(c.layers[j].mixer);
      if (is_full(read) == is_full(reader)) reader.reads_layer = static_cast<uint32_t>(j);
    }
    if (!reader.reads_layer) return false;
    reader.values_are_keys = false;
  }
  return true;
}

void put_experts_beside(DecoderConfig& c, ExpertsConfig experts) {
  experts.router = RouterKind::softmax;
  experts.normalise = true;
  for (LayerConfig& layer : c.layers) {
    const auto dense = std::get<DenseConfig>(layer.feed_forward);
    experts.activation = dense.activation;
    layer.feed_forward = DenseAndExpertsConfig{.dense = dense, .experts = experts};
  }
}

/// A layer's numbers that per_layer_config gives (transformers 5).
void override_layers(fields::HuggingFaceFields& f, DecoderConfig& c) {
  const nlohmann::json& all = f.value("per_layer_config");
  if (!all.is_object()) return f.fail("per_layer_config is not an object");
  for (const auto& [key, overrides] : all.items()) {
    uint32_t layer = 0;
    const auto parsed = std::from_chars(key.data(), key.data() + key.size(), layer);
    if (parsed.ec != std::errc() || parsed.ptr != key.data() + key.size() || layer >= c.layers.size() ||
        !overrides.is_object()) {
      return f.fail("per_layer_config has an entry for no layer: " + key.substr(0, 40));
    }
    fields::HuggingFaceFields own(overrides);
    auto& attention = std::get<AttentionConfig>(c.layers[layer].mixer);
    attention.head_dim = own.u32("head_dim", attention.head_dim);
    attention.kv_heads = own.u32("num_key_value_heads", attention.kv_heads);
    for (const auto& [name, value] : overrides.items()) {
      if (!own.was_read(name)) own.fail(name.substr(0, 40) + " is not supported", ErrorCode::unsupported);
    }
    if (own.error()) return f.fail("per_layer_config: " + own.error()->message, own.error()->code);
  }
}

/// The same as files before it say it: full layers have heads of another size, and where K is V too another number.
void set_full_layers(fields::HuggingFaceFields& f, DecoderConfig& c, bool keys_are_values) {
  const uint32_t head_dim = f.u32("global_head_dim", 512);
  const uint32_t kv_heads = f.u32("num_global_key_value_heads", 0);
  c.for_each_attention([&](AttentionConfig& attention) {
    if (!is_full(attention)) return;
    attention.head_dim = head_dim;
    if (keys_are_values && kv_heads > 0) attention.kv_heads = kv_heads;
  });
}

RopeSpec rope_of(fields::HuggingFaceFields& f, const char* layers, uint32_t head_dim, const nlohmann::json& usual) {
  if (head_dim == 0) return {.inverse_frequencies = {0.0F}};  // of no layer
  const nlohmann::json parameters = f.has("rope_parameters") ? fields::rope_parameters_of(f, layers) : usual;
  if (parameters.is_null()) return f.fail(fmt::format("rope_parameters has no {}", layers)), RopeSpec{};
  const bool is_partial = parameters.is_object() && parameters.contains("partial_rotary_factor") &&
                          parameters["partial_rotary_factor"] != 1 && parameters.value("rope_type", "") == "default";
  if (is_partial) f.fail("a default rope with a partial_rotary_factor is not supported", ErrorCode::unsupported);
  return fields::rope_from_parameters(f, parameters, {.head_dim = head_dim});
}

void set_ropes(fields::HuggingFaceFields& f, DecoderConfig& c) {
  fields::refuse_ropes_of_other_layers(f, {"full_attention", "sliding_attention"});
  const nlohmann::json full = {
      {"rope_type", "proportional"}, {"partial_rotary_factor", 0.25}, {"rope_theta", 1000000.0}};
  const nlohmann::json windowed = {{"rope_type", "default"}, {"rope_theta", 10000.0}};
  const uint32_t full_dim = head_dim_of(c, true), windowed_dim = head_dim_of(c, false);
  c.for_each_attention([&](const AttentionConfig& attention) {
    if (attention.head_dim == (is_full(attention) ? full_dim : windowed_dim)) return;
    f.fail("layers of one kind have heads of different sizes", ErrorCode::unsupported);
  });
  c.ropes = {rope_of(f, "full_attention", full_dim, full), rope_of(f, "sliding_attention", windowed_dim, windowed)};
}

void set_layer_inputs(fields::HuggingFaceFields& f, DecoderConfig& c, Activation activation) {
  const uint32_t width = f.u32("hidden_size_per_layer_input", 256, 0);
  const uint32_t vocabulary = f.u32("vocab_size_per_layer_input", 262144);
  if (width == 0) return;
  c.layer_inputs = {.width = width, .layers = static_cast<uint32_t>(c.layers.size()), .activation = activation};
  if (vocabulary != c.vocabulary) {
    f.fail("vocab_size_per_layer_input is not vocab_size", ErrorCode::unsupported);
  }
}

void set_feed_forward(fields::HuggingFaceFields& f, DecoderConfig& c, uint32_t shared_layers) {
  const size_t own = c.layers.size() - std::min<size_t>(shared_layers, c.layers.size());
  if (f.boolean("use_double_wide_mlp", false)) {
    for (size_t i = own; i < c.layers.size(); ++i) {
      uint32_t& width = std::get<DenseConfig>(c.layers[i].feed_forward).width;
      width = 2 * std::min(width, 1U << 30);
    }
  }
  if (f.boolean("enable_moe_block", false)) {
    put_experts_beside(
        c,
        {.experts = f.u32("num_experts"), .chosen = f.u32("top_k_experts"), .width = f.u32("moe_intermediate_size")});
  }
  for (const char* key : {"num_experts", "top_k_experts", "moe_intermediate_size"}) f.pass_over(key);
}

void name_tensors(fields::HuggingFaceFields& f, TensorNames& n, const DecoderConfig& c) {
  const std::string layer = "model.layers.{}.";
  fields::add_head_norms(f, n);
  n.attention_post_norm = layer + "post_attention_layernorm.weight";
  n.feed_forward_norm = layer + "pre_feedforward_layernorm.weight";
  n.feed_forward_post_norm = layer + "post_feedforward_layernorm.weight";
  n.layer_scale = layer + "layer_scalar";
  if (c.layer_inputs) {
    n.layer_inputs_embedding = "model.embed_tokens_per_layer.weight";
    n.layer_inputs_projection = "model.per_layer_model_projection.weight";
    n.layer_inputs_norm = "model.per_layer_projection_norm.weight";
    n.layer_input_gate = layer + "per_layer_input_gate.weight";
    n.layer_input_projection = layer + "per_layer_projection.weight";
    n.layer_input_post_norm = layer + "post_per_layer_input_norm.weight";
  }
  if (!std::holds_alternative<DenseAndExpertsConfig>(c.layers.front().feed_forward)) return;
  n.router = layer + "router.proj.weight";
  n.router_scale = layer + "router.scale";
  n.expert_scales = layer + "router.per_expert_scale";
  n.expert_gate_up = layer + "experts.gate_up_proj";
  n.expert_down = layer + "experts.down_proj";
  n.dense_post_norm = layer + "post_feedforward_layernorm_1.weight";
  n.experts_norm = layer + "pre_feedforward_layernorm_2.weight";
  n.experts_post_norm = layer + "post_feedforward_layernorm_2.weight";
}

Result<DecoderDescription> from_hugging_face(const nlohmann::json& config) {
  fields::HuggingFaceFields f(config);
  DecoderDescription d = fields::common(f, {.family = "gemma4_text",
                                            .sizes = {2304, 9216, 30, 8, 262144},
                                            .has_own_ropes = true,
                                            .context_length = 131072,
                                            .kv_heads = 4,
                                            .head_dim = 256,
                                            .tied_embeddings = true,
                                            .activation_key = "hidden_activation",
                                            .activation = Activation::gelu_tanh});
  DecoderConfig& c = d.config;
  if (c.layers.empty()) return fields::finish(f, std::move(d));
  fields::add_attention_biases(f, d.names);
  c.logit_softcap = f.f32("final_logit_softcapping", 0.0F);
  const std::string bidirectional = f.string("use_bidirectional_attention", "");
  // Images' tokens see each other; texts' do not see ahead.
  if (!bidirectional.empty() && bidirectional != "vision") {
    f.fail("use_bidirectional_attention is '" + bidirectional.substr(0, 40) + "'", ErrorCode::unsupported);
  }
  fields::set_windows(f, f.u32("sliding_window", 512), c, [](uint32_t layer) { return (layer + 1) % kPattern != 0; });
  std::get<AttentionConfig>(c.layers.back().mixer).window = 0;  // whatever the file says, as in transformers

  const bool keys_are_values = f.boolean("attention_k_eq_v", false);
  if (f.has("per_layer_config")) {
    override_layers(f, c);
  } else {
    set_full_layers(f, c, keys_are_values);
  }
  set_ropes(f, c);
  set_common(c);
  c.for_each_attention(
      [&](AttentionConfig& attention) { attention.values_are_keys = keys_are_values && is_full(attention); });
  const uint32_t shared_layers = f.u32("num_kv_shared_layers", 0);
  if (!share_keys_and_values(c, shared_layers)) f.fail("num_kv_shared_layers leaves no layer to read from");
  set_layer_inputs(f, c, std::get<DenseConfig>(c.layers.front().feed_forward).activation);
  set_feed_forward(f, c, shared_layers);
  name_tensors(f, d.names, c);
  return fields::finish(f, std::move(d));
}

void name_gguf_tensors(const Gguf& gguf, TensorNames& n, const DecoderConfig& c) {
  const std::string layer = "blk.{}.";
  n.q_norm = layer + "attn_q_norm.weight";
  n.k_norm = layer + "attn_k_norm.weight";
  fields::add_branch_norms(n);
  if (gguf.contains("blk.0.layer_output_scale.weight")) n.layer_scale = layer + "layer_output_scale.weight";
  if (c.layer_inputs) {
    n.layer_inputs_embedding = "per_layer_token_embd.weight";
    n.layer_inputs_projection = "per_layer_model_proj.weight";
    n.layer_inputs_norm = "per_layer_proj_norm.weight";
    n.layer_input_gate = layer + "inp_gate.weight";
    n.layer_input_projection = layer + "proj.weight";
    n.layer_input_post_norm = layer + "post_norm.weight";
  }
  if (n.router.empty()) return;
  n.router_scale = layer + "ffn_gate_inp.scale";
  n.expert_scales = layer + "ffn_down_exps.scale";
  n.expert_gate_up = layer + "ffn_gate_up_exps.weight";
  n.dense_post_norm = layer + "post_ffw_norm_1.weight";
  n.experts_norm = layer + "pre_ffw_norm_2.weight";
  n.experts_post_norm = layer + "post_ffw_norm_2.weight";
}

/// Heads and widths, which may be others in each layer; the file's head size is that of full layers.
void set_gguf_layers(fields::GgufFields& f, DecoderConfig& c) {
  const auto layers = static_cast<uint32_t>(c.layers.size());
  const std::vector<uint32_t> kv_heads = f.u32_of_layers("attention.head_count_kv", layers, 0);
  const std::vector<uint32_t> widths = f.u32_of_layers("feed_forward_length", layers, 0);
  const uint32_t head_dim = f.u32("attention.key_length_swa", head_dim_of(c, true));
  if (f.u32("attention.value_length_swa", head_dim) != head_dim) {
    f.fail({ErrorCode::unsupported, "keys and values of different sizes are not supported", ""});
  }
  for (uint32_t i = 0; i < layers; ++i) {
    auto& attention = std::get<AttentionConfig>(c.layers[i].mixer);
    if (kv_heads[i] > 0) attention.kv_heads = kv_heads[i];
    if (!is_full(attention)) attention.head_dim = head_dim;
    attention.values_are_keys = !f.gguf().contains(fmt::format("blk.{}.attn_v.weight", i));
    std::get<DenseConfig>(c.layers[i].feed_forward).width = widths[i];
  }
  RopeSpec windowed;
  windowed.inverse_frequencies = {0.0F};
  if (head_dim_of(c, false) > 0) {
    windowed = fields::plain_rope(f, "rope.freq_base_swa", 10000.0, head_dim, "rope.dimension_count_swa");
  }
  c.ropes.push_back(std::move(windowed));
}

Result<DecoderDescription> from_gguf(const Gguf& gguf) {
  fields::GgufFields f(gguf);
  DecoderDescription d =
      fields::common(f, {.family = "gemma4_text", .activation = Activation::gelu_tanh, .layers_differ = true});
  DecoderConfig& c = d.config;
  if (c.layers.empty()) return fields::finish(f, std::move(d));
  c.logit_softcap = f.f32("final_logit_softcapping", 0.0F);
  fields::set_windows(f, f.u32("attention.sliding_window", 512), c,
                      [](uint32_t layer) { return (layer + 1) % kPattern != 0; });
  set_gguf_layers(f, c);
  set_common(c);
  if (!share_keys_and_values(c, f.u32("attention.shared_kv_layers", 0))) {
    f.fail({ErrorCode::corrupt, "attention.shared_kv_layers leaves no layer to read from", ""});
  }
  const uint32_t width = f.u32("embedding_length_per_layer_input", 0);
  if (width > 0) c.layer_inputs = {.width = width, .layers = static_cast<uint32_t>(c.layers.size())};
  if (f.u32("expert_count", 0) > 0) put_experts_beside(c, fields::experts_of(f, d.names));
  name_gguf_tensors(gguf, d.names, c);
  return fields::finish(f, std::move(d));
}

}  // namespace

const Family kGemma4 = {"gemma4_text", kModelTypes, kArchitectures, from_hugging_face, from_gguf};

}  // namespace hearth
