#include "model/families/hugging_face_fields.h"

#include <fmt/format.h>

#include <cmath>
#include <numbers>

#include "model/rope.h"

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
  const bool fits = std::is_floating_point_v<T> ? std::isfinite(number)
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

void HuggingFaceFields::fail(std::string message) {
  if (error_.empty()) error_ = std::move(message);
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

RopeSpec rope_from_parameters(HuggingFaceFields& fields, const nlohmann::json& parameters, double default_theta,
                              uint32_t head_dim) {
  HuggingFaceFields rope(parameters);
  const double theta = rope.f32("rope_theta", static_cast<float>(default_theta));
  const double partial = rope.f32("partial_rotary_factor", fields.f32("partial_rotary_factor", 1.0F));
  const auto rotary_dim = static_cast<uint32_t>(head_dim * partial);
  const std::string type = rope.string("rope_type", rope.string("type", "default"));

  RopeSpec spec;
  spec.inverse_frequencies = rope_inverse_frequencies(theta, rotary_dim);
  if (type == "linear") {
    scale_linear(spec, rope.f32("factor"));
  } else if (type == "llama3") {
    scale_llama3(spec, {.factor = rope.f32("factor"),
                        .low_frequency_factor = rope.f32("low_freq_factor", 1.0F),
                        .high_frequency_factor = rope.f32("high_freq_factor", 4.0F),
                        .original_context = rope.f32("original_max_position_embeddings")});
  } else if (type == "yarn") {
    const float factor = rope.f32("factor");
    scale_yarn(spec, theta, rotary_dim,
               {.factor = factor,
                .beta_fast = rope.f32("beta_fast", 32.0F),
                .beta_slow = rope.f32("beta_slow", 1.0F),
                .original_context = rope.f32("original_max_position_embeddings",
                                             static_cast<float>(fields.u32("max_position_embeddings"))),
                .magnitude = rope.f32("attention_factor", yarn_magnitude(factor))});
  } else if (type != "default") {
    fields.fail(fmt::format("rope type '{}' is not supported", type));
  }
  if (!rope.error().empty()) fields.fail("rope parameters: " + rope.error());
  return spec;
}

RopeSpec single_rope(HuggingFaceFields& fields, double default_theta, uint32_t head_dim) {
  const double theta = fields.f32("rope_theta", static_cast<float>(default_theta));
  for (const char* key : {"rope_parameters", "rope_scaling"}) {
    if (fields.has(key) && fields.json()[key].is_object()) {
      return rope_from_parameters(fields, fields.json()[key], theta, head_dim);
    }
  }
  return rope_from_parameters(fields, nlohmann::json::object(), theta, head_dim);
}

DecoderDescription common(HuggingFaceFields& fields, std::string family, double default_theta) {
  DecoderDescription description;
  DecoderConfig& c = description.config;
  c.family = std::move(family);
  c.hidden = fields.u32("hidden_size");
  c.feed_forward = fields.u32("intermediate_size");
  c.heads = fields.u32("num_attention_heads");
  c.kv_heads = fields.u32("num_key_value_heads", c.heads);
  c.head_dim = fields.u32("head_dim", c.heads > 0 ? c.hidden / c.heads : 0);
  c.vocabulary = fields.u32("vocab_size");
  c.context_length = fields.u32("max_position_embeddings", 2048);
  c.layers.resize(std::min(fields.u32("num_hidden_layers"), 4097U));
  c.norm_epsilon = fields.f32("rms_norm_eps", 1e-6F);
  c.attention_scale = 1.0F / std::sqrt(static_cast<float>(c.head_dim));
  c.tied_embeddings = fields.boolean("tie_word_embeddings", false);
  c.end_tokens = token_ids(fields.json(), "eos_token_id");
  const auto bos = token_ids(fields.json(), "bos_token_id");
  if (!bos.empty()) c.bos_token = bos.front();
  if (c.head_dim > 0 && c.head_dim <= 4096) c.ropes = {single_rope(fields, default_theta, c.head_dim)};

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
  return description;
}

Result<DecoderDescription> finish(const HuggingFaceFields& fields, DecoderDescription description) {
  if (!fields.error().empty()) return hearth::fail(ErrorCode::corrupt, "config.json: " + fields.error());
  return description;
}

}  // namespace hearth::fields
