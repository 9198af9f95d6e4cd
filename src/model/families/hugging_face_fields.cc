#include "model/families/hugging_face_fields.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "model/families/hugging_face_rope.h"
#include "model/families/unread_keys.h"

namespace hearth::fields {

template <class T>
T HuggingFaceFields::number(const char* key, const T* otherwise) {
  if (!has(key)) {
    if (otherwise != nullptr) return *otherwise;
    fail(fmt::format("has no {}", key));
    return T{};
  }
  const nlohmann::json& value = config_.at(key);
  const double number = value.is_number() ? value.get<double>() : NAN;
  const bool fits = std::is_floating_point_v<T> ? std::abs(number) <= std::numeric_limits<float>::max()
                                                : number >= 0 && number <= UINT32_MAX && number == std::floor(number);
  if (!fits) {
    fail(fmt::format("{} is {}, which is not a number that fits", key, value.dump().substr(0, 40)));
    return T{};
  }
  return static_cast<T>(number);
}

uint32_t HuggingFaceFields::u32(const char* key) { return number<uint32_t>(key, nullptr); }
uint32_t HuggingFaceFields::u32(const char* key, uint32_t otherwise) { return number<uint32_t>(key, &otherwise); }
float HuggingFaceFields::f32(const char* key) { return number<float>(key, nullptr); }
float HuggingFaceFields::f32(const char* key, float otherwise) { return number<float>(key, &otherwise); }
uint32_t HuggingFaceFields::u32(const char* key, uint32_t absent, uint32_t null) {
  return u32(key, config_.contains(key) ? null : absent);
}
float HuggingFaceFields::f32(const char* key, float absent, float null) {
  return f32(key, config_.contains(key) ? null : absent);
}

bool HuggingFaceFields::boolean(const char* key, bool otherwise) {
  if (!has(key)) return otherwise;
  if (config_.at(key).is_boolean()) return config_.at(key).get<bool>();
  fail(fmt::format("{} is not true or false", key));
  return otherwise;
}

std::string HuggingFaceFields::string(const char* key, const std::string& otherwise) {
  if (!has(key)) return otherwise;
  if (config_.at(key).is_string()) return config_.at(key).get<std::string>();
  fail(fmt::format("{} is not a string", key));
  return otherwise;
}

bool HuggingFaceFields::has(const char* key) { return !value(key).is_null(); }

const nlohmann::json& HuggingFaceFields::value(const char* key) {
  static const nlohmann::json kNull;
  read_.insert(key);
  const auto found = config_.find(key);
  return found == config_.end() ? kNull : *found;
}

void HuggingFaceFields::fail(std::string message, ErrorCode code) {
  if (!error_) error_ = Error{code, std::move(message), ""};
}

std::vector<int32_t> token_ids(const nlohmann::json& config, const char* key) {
  std::vector<int32_t> ids;
  if (!config.is_object() || !config.contains(key)) return ids;
  const nlohmann::json& value = config.at(key);
  const auto add = [&](const nlohmann::json& id) {
    if (id.is_number_unsigned() && id.get<uint64_t>() <= INT32_MAX) ids.push_back(id.get<int32_t>());
  };
  if (value.is_array()) {
    for (const auto& id : value) add(id);
  } else {
    add(value);
  }
  return ids;
}

namespace {

struct NamedActivation {
  std::string_view name;
  Activation activation;
};
/// As transformers names them (activations.py); gelu_fast and gelu_accurate are the one by tanh, written otherwise.
constexpr std::array<NamedActivation, 13> kActivations = {{{"silu", Activation::silu},
                                                           {"swish", Activation::silu},
                                                           {"gelu", Activation::gelu},
                                                           {"gelu_python", Activation::gelu},
                                                           {"gelu_pytorch_tanh", Activation::gelu_tanh},
                                                           {"gelu_python_tanh", Activation::gelu_tanh},
                                                           {"gelu_new", Activation::gelu_tanh},
                                                           {"gelu_fast", Activation::gelu_tanh},
                                                           {"gelu_accurate", Activation::gelu_tanh},
                                                           {"quick_gelu", Activation::quick_gelu},
                                                           {"relu", Activation::relu},
                                                           {"relu2", Activation::relu_squared},
                                                           {"xielu", Activation::xielu}}};

Activation activation_of(HuggingFaceFields& fields, const char* key, Activation otherwise, bool gated) {
  const std::string name = fields.string(key, "");
  if (!fields.has(key)) return otherwise;
  const auto* found = std::ranges::find(kActivations, name, &NamedActivation::name);
  const bool fits = found != kActivations.end() && !(gated && found->activation == Activation::xielu);
  if (fits) return found->activation;
  fields.fail(fmt::format("{} '{}' is not supported", key, name.substr(0, 40)), ErrorCode::unsupported);
  return otherwise;
}

/// Gemma's files name the activation twice, and the newer key counts.
Activation activation_of(HuggingFaceFields& fields, const Defaults& defaults) {
  const Activation activation = activation_of(fields, defaults.activation_key, defaults.activation, defaults.gated);
  if (activation_of(fields, "hidden_act", activation, defaults.gated) != activation) {
    fields.fail(fmt::format("hidden_act and {} are not the same", defaults.activation_key), ErrorCode::unsupported);
  }
  return activation;
}

}  // namespace

DecoderDescription common(HuggingFaceFields& fields, const Defaults& defaults) {
  DecoderDescription description;
  DecoderConfig& c = description.config;
  c.family = defaults.family;
  c.hidden = fields.u32("hidden_size", defaults.sizes.hidden);
  AttentionConfig attention;
  attention.heads = fields.u32("num_attention_heads", defaults.sizes.heads);
  attention.kv_heads = fields.u32("num_key_value_heads", defaults.kv_heads.value_or(attention.heads), attention.heads);
  const uint32_t usual_head_dim = attention.heads > 0 ? c.hidden / attention.heads : 0;
  attention.head_dim = fields.u32("head_dim", defaults.head_dim.value_or(usual_head_dim));
  attention.scale = 1.0F / std::sqrt(static_cast<float>(attention.head_dim));
  attention.rope = 0;
  const DenseConfig dense = {.width = fields.u32("intermediate_size", defaults.sizes.width),
                             .activation = activation_of(fields, defaults),
                             .gated = defaults.gated};
  c.layers.resize(std::min(fields.u32("num_hidden_layers", defaults.sizes.layers), 4097U), {attention, dense});
  c.vocabulary = fields.u32("vocab_size", defaults.sizes.vocabulary);
  c.context_length = fields.u32("max_position_embeddings", defaults.context_length);
  c.norm = defaults.norm;
  c.norm_epsilon = fields.f32(defaults.epsilon_key, defaults.epsilon);
  c.tied_embeddings = fields.boolean("tie_word_embeddings", defaults.tied_embeddings);
  c.end_tokens = token_ids(fields.json(), "eos_token_id");
  const auto bos = token_ids(fields.json(), "bos_token_id");
  if (!bos.empty()) c.bos_token = bos.front();

  // The only rope, but for a family that replaces it.
  if (!defaults.has_own_ropes) {
    c.ropes = {single_rope(fields, {.theta = defaults.rope_theta,
                                    .head_dim = attention.head_dim,
                                    .partial = defaults.partial_rotary,
                                    .interleaved = defaults.interleaved_rope})};
  }

  const std::string layer = "model.layers.{}.";
  description.names = {.embedding = "model.embed_tokens.weight",
                       .output_norm = "model.norm.weight",
                       .head = "lm_head.weight",
                       .attention_norm = layer + "input_layernorm.weight",
                       .q = layer + "self_attn.q_proj.weight",
                       .k = layer + "self_attn.k_proj.weight",
                       .v = layer + "self_attn.v_proj.weight",
                       .output = layer + "self_attn.o_proj.weight",
                       .feed_forward_norm = layer + "post_attention_layernorm.weight",
                       .gate = layer + "mlp.gate_proj.weight",
                       .up = layer + "mlp.up_proj.weight",
                       .down = layer + "mlp.down_proj.weight"};
  if (!defaults.gated) description.names.gate.clear();
  return description;
}

void add_qkv_biases(TensorNames& names) {
  const std::string attention = "model.layers.{}.self_attn.";
  names.q_bias = attention + "q_proj.bias";
  names.k_bias = attention + "k_proj.bias";
  names.v_bias = attention + "v_proj.bias";
}

void add_attention_biases(HuggingFaceFields& fields, TensorNames& names, bool usually) {
  if (!fields.boolean("attention_bias", usually)) return;
  add_qkv_biases(names);
  names.output_bias = "model.layers.{}.self_attn.o_proj.bias";
}

void add_feed_forward_biases(HuggingFaceFields& fields, TensorNames& names) {
  if (!fields.boolean("mlp_bias", false)) return;
  if (!names.gate.empty()) names.gate_bias = "model.layers.{}.mlp.gate_proj.bias";
  names.up_bias = "model.layers.{}.mlp.up_proj.bias";
  names.down_bias = "model.layers.{}.mlp.down_proj.bias";
}

void expect_head_norms(HuggingFaceFields& fields) {
  for (const char* key : {"qk_norm", "use_qk_norm"}) {
    if (fields.boolean(key, true)) continue;
    fields.fail(fmt::format("{} is false, which is not supported for this family", key), ErrorCode::unsupported);
  }
}

void add_head_norms(HuggingFaceFields& fields, TensorNames& names) {
  expect_head_norms(fields);
  names.q_norm = "model.layers.{}.self_attn.q_norm.weight";
  names.k_norm = "model.layers.{}.self_attn.k_norm.weight";
}

void norm_branches_only(TensorNames& names) {
  names.attention_norm = names.feed_forward_norm = "";
  names.attention_post_norm = "model.layers.{}.post_attention_layernorm.weight";
  names.feed_forward_post_norm = "model.layers.{}.post_feedforward_layernorm.weight";
}

Result<DecoderDescription> finish(HuggingFaceFields& fields, DecoderDescription description) {
  description.unknown_keys = refuse_unread_keys(fields);
  if (fields.error()) return hearth::fail(fields.error()->code, "config.json: " + fields.error()->message);
  return description;
}

}  // namespace hearth::fields
