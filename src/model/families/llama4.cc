#include <array>

#include "model/families/expert_fields.h"

// Llama 4: attention in chunks but for every fourth layer, which has no rope and whose queries grow with the position;
// Q's and K's heads normed without weights behind the rope; experts that read what the router weighs, beside a shared
// one, in every layer or every second one.
namespace hearth {
namespace {

constexpr std::array<std::string_view, 2> kModelTypes = {"llama4_text", "llama4"};
constexpr std::array<std::string_view, 1> kArchitectures = {"llama4"};

struct Growth {
  float factor = 0.0F;
  uint32_t positions = 1;
};

void leave_out_rope(AttentionConfig& attention, const Growth& growth) {
  attention.rope.reset();
  attention.unweighted_norms = false;
  attention.query_growth = growth.factor;
  attention.query_growth_positions = std::max(growth.positions, 1U);
  attention.query_growth_shift = 1;
}

/// A number of layers from a list, which is there and says something; otherwise `is_usual(layer)`.
template <class F>
std::vector<bool> flags_of(fields::HuggingFaceFields& f, const char* key, size_t layers, F&& is_usual) {
  std::vector<bool> flags(layers);
  const nlohmann::json& list = f.value(key);
  const bool is_list = list.is_array() && !list.empty();
  if (is_list && list.size() != layers) f.fail(std::string(key) + " is not a list with an entry for each layer");
  for (uint32_t i = 0; i < layers; ++i) flags[i] = is_list && i < list.size() ? list[i] == 1 : is_usual(i);
  return flags;
}

void set_attention(fields::HuggingFaceFields& f, DecoderConfig& c) {
  const uint32_t interval = std::max(1U, f.u32("no_rope_layer_interval", 4));
  const std::vector<bool> has_rope =
      flags_of(f, "no_rope_layers", c.layers.size(), [&](uint32_t i) { return (i + 1) % interval != 0; });
  const nlohmann::json& types = f.value("layer_types");
  const bool is_listed = types.is_array() && types.size() == c.layers.size();
  if (!types.is_null() && !is_listed) return f.fail("layer_types is not a list with an entry for each layer");
  const uint32_t chunk = f.u32("attention_chunk_size", 8192, 0);
  const bool norms = f.boolean("use_qk_norm", true);
  const nlohmann::json& tuning = f.value("attn_temperature_tuning");  // some files have a number
  Growth growth = {.factor = f.f32("attn_scale", 0.1F), .positions = f.u32("floor_scale", 8192)};
  if (tuning == false || tuning == 0) growth.factor = 0;
  for (uint32_t i = 0; i < c.layers.size(); ++i) {
    auto& attention = std::get<AttentionConfig>(c.layers[i].mixer);
    if (is_listed && types[i] != "chunked_attention" && types[i] != "full_attention") {
      return f.fail("layer_types has " + types[i].dump().substr(0, 40), ErrorCode::unsupported);
    }
    attention.chunked = is_listed ? types[i] == "chunked_attention" : has_rope[i];
    if (attention.chunked) attention.window = chunk;
    attention.norm_after_rope = attention.unweighted_norms = norms;
    if (!has_rope[i]) leave_out_rope(attention, growth);
  }
}

ExpertsConfig weighed(ExpertsConfig experts) {
  experts.router = RouterKind::sigmoid_of_chosen;
  experts.weighs_input = true;
  experts.shared_width = experts.width;
  return experts;
}

void set_experts(fields::HuggingFaceFields& f, DecoderConfig& c) {
  const nlohmann::json& listed = f.value("moe_layers");
  const uint32_t step = f.u32("interleave_moe_layer_step", 1);
  const ExpertsConfig experts = weighed({.experts = f.u32("num_local_experts", 16),
                                         .chosen = f.u32("num_experts_per_tok", 1),
                                         .width = f.u32("intermediate_size", 8192)});
  const uint32_t dense_width = f.u32("intermediate_size_mlp", 16384);
  for (LayerConfig& layer : c.layers) std::get<DenseConfig>(layer.feed_forward).width = dense_width;
  fields::set_experts(c, experts, [&](uint32_t i) {
    if (listed.is_array()) return std::ranges::find(listed, nlohmann::json(i)) != listed.end();
    return step > 0 && (i + 1) % step == 0;
  });
}

Result<DecoderDescription> from_hugging_face(const nlohmann::json& config) {
  fields::HuggingFaceFields f(config);
  DecoderDescription d = fields::common(f, {.family = "llama4",
                                            .sizes = {5120, 8192, 48, 40, 202048},
                                            .rope_theta = 500000.0,
                                            .interleaved_rope = true,
                                            .context_length = 131072,
                                            .kv_heads = 8,
                                            .head_dim = 128,
                                            .epsilon = 1e-5F});
  if (f.string("hidden_act", "silu") != "silu") f.fail("hidden_act is not silu", ErrorCode::unsupported);
  set_attention(f, d.config);
  set_experts(f, d.config);
  fields::add_attention_biases(f, d.names);
  TensorNames& n = d.names;
  const std::string part = "model.layers.{}.feed_forward.";
  n.gate = part + "gate_proj.weight";
  n.up = part + "up_proj.weight";
  n.down = part + "down_proj.weight";
  n.router = part + "router.weight";
  n.expert_gate_up = part + "experts.gate_up_proj";
  n.expert_down = part + "experts.down_proj";
  n.expert_columns = true;
  n.shared_gate = part + "shared_expert.gate_proj.weight";
  n.shared_up = part + "shared_expert.up_proj.weight";
  n.shared_down = part + "shared_expert.down_proj.weight";
  return fields::finish(f, std::move(d));
}

// What a file does not say is as llama.cpp takes it: chunks of 8192 unless there is a size, every fourth layer without
// a rope, no norms in the model of 128 experts.
Result<DecoderDescription> from_gguf(const Gguf& gguf) {
  constexpr uint32_t kChunk = 8192, kInterval = 4, kExpertsWithoutNorms = 128;
  fields::GgufFields f(gguf);
  DecoderDescription d = fields::common(f, {.family = "llama4", .interleaved_rope = true});
  const ExpertsConfig experts = weighed(fields::experts_of(f, d.names));
  const uint32_t step = f.u32("interleave_moe_layer_step", 1);
  const uint32_t chunk = f.u32("attention.chunk_size", kChunk);
  if (f.u32("attention.sliding_window", kChunk) == 0) {
    f.fail({ErrorCode::unsupported, "attention.sliding_window is 0: no chunks, which is not supported", ""});
  }
  for (uint32_t i = 0; i < d.config.layers.size(); ++i) {
    auto& attention = std::get<AttentionConfig>(d.config.layers[i].mixer);
    attention.norm_after_rope = attention.unweighted_norms = experts.experts != kExpertsWithoutNorms;
    if ((i + 1) % kInterval == 0) {
      leave_out_rope(attention, {.factor = 0.1F, .positions = kChunk});
    } else {
      attention.chunked = true;
      attention.window = chunk;
    }
  }
  fields::set_experts(d.config, experts, [&](uint32_t i) { return step > 0 && (i + 1) % step == 0; });
  d.names.shared_gate = "blk.{}.ffn_gate_shexp.weight";
  d.names.shared_up = "blk.{}.ffn_up_shexp.weight";
  d.names.shared_down = "blk.{}.ffn_down_shexp.weight";
  return fields::finish(f, std::move(d));
}

}  // namespace

const Family kLlama4 = {"llama4", kModelTypes, kArchitectures, from_hugging_face, from_gguf};

}  // namespace hearth
