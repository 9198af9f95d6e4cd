#include <fmt/format.h>

#include <array>
#include <cmath>

#include "model/families/every_layer.h"
#include "model/families/family.h"
#include "model/families/gguf_fields.h"
#include "model/families/hugging_face_fields.h"
#include "model/families/hugging_face_rope.h"

// Phi 3 and 4 (arXiv 2404.14219): Llama with fused tensors and, in some, a second rope for long contexts.
namespace hearth {
namespace {

constexpr std::array<std::string_view, 1> kModelTypes = {"phi3"};
constexpr std::array<std::string_view, 1> kArchitectures = {"phi3"};

/// longrope's older names; the frequencies' divisors for short and for long contexts.
bool is_long(const std::string& type) { return type == "longrope" || type == "su" || type == "yarn"; }

RopeSpec divided(RopeSpec rope, const std::vector<float>& factors, float magnitude) {
  for (size_t i = 0; i < factors.size(); ++i) rope.inverse_frequencies[i] /= factors[i];
  rope.magnitude = magnitude;
  return rope;
}

/// The first rope is the one for short contexts, and what heads are multiplied with is the same for both.
void set_ropes(DecoderConfig& c, const std::vector<float>& short_factors, const std::vector<float>& long_factors,
               uint32_t original, float magnitude) {
  const RopeSpec plain = c.ropes.front();
  c.long_rope = LongRope{.replaces = 0, .original_context = original, .rope = divided(plain, long_factors, magnitude)};
  c.ropes.front() = divided(plain, short_factors, magnitude);
}

std::vector<float> factors_of(fields::HuggingFaceFields& rope, const char* key, size_t count) {
  const nlohmann::json& list = rope.value(key);
  std::vector<float> factors;
  for (const nlohmann::json& factor : list.is_array() ? list : nlohmann::json::array()) {
    if (factor.is_number() && factor.get<double>() > 0) factors.push_back(factor.get<float>());
  }
  if (factors.size() != count)
    rope.fail(fmt::format("{} does not have a positive factor for each of {} pairs", key, count));
  return factors;
}

void read_long_rope(fields::HuggingFaceFields& f, nlohmann::json parameters, fields::RopeDefaults defaults,
                    DecoderConfig& c) {
  fields::HuggingFaceFields rope(parameters);
  fields::refuse_unknown_rope_keys(f, rope);
  const uint32_t original =
      f.u32("original_max_position_embeddings", rope.u32("original_max_position_embeddings", c.context_length));
  const double factor = rope.f32("factor", static_cast<float>(c.context_length) / static_cast<float>(original));
  const double usual = factor <= 1 ? 1 : std::sqrt(1 + std::log(factor) / std::log(original));
  const float magnitude = rope.f32("attention_factor", static_cast<float>(usual));
  const size_t count = c.ropes.front().inverse_frequencies.size();
  const auto short_factors = factors_of(rope, "short_factor", count),
             long_factors = factors_of(rope, "long_factor", count);
  if (rope.error()) return f.fail("rope parameters: " + rope.error()->message, rope.error()->code);
  set_ropes(c, short_factors, long_factors, original, magnitude);
}

Result<DecoderDescription> from_hugging_face(const nlohmann::json& config) {
  fields::HuggingFaceFields f(config);
  DecoderDescription d = fields::common(f, {.family = "phi3",
                                            .sizes = {3072, 8192, 32, 32, 32064},
                                            .has_own_ropes = true,
                                            .context_length = 4096,
                                            .epsilon = 1e-5F});
  DecoderConfig& c = d.config;
  fields::RopeDefaults defaults = {.theta = f.f32("rope_theta", 10000.0F)};
  c.for_each_attention([&](const AttentionConfig& attention) { defaults.head_dim = attention.head_dim; });
  nlohmann::json parameters = fields::single_rope_parameters(f);
  fields::HuggingFaceFields rope(parameters);
  const bool has_long = is_long(rope.string("rope_type", rope.string("type", "default")));
  nlohmann::json plain = nlohmann::json::object();
  for (const char* key : {"rope_theta", "partial_rotary_factor"}) {
    if (parameters.contains(key)) plain[key] = parameters[key];
  }
  c.ropes = {fields::rope_from_parameters(f, has_long ? plain : parameters, defaults)};
  if (has_long && !f.error()) read_long_rope(f, parameters, defaults, c);
  f.pass_over("original_max_position_embeddings");  // which means nothing to other ropes
  fields::set_window_everywhere(c, f.u32("sliding_window", 0));
  d.names.q = d.names.k = d.names.v = d.names.gate = d.names.up = "";
  d.names.qkv = "model.layers.{}.self_attn.qkv_proj.weight";
  d.names.gate_up = "model.layers.{}.mlp.gate_up_proj.weight";
  return fields::finish(f, std::move(d));
}

Result<DecoderDescription> from_gguf(const Gguf& gguf) {
  fields::GgufFields f(gguf);
  DecoderDescription d = fields::common(f, {.family = "phi3"});
  DecoderConfig& c = d.config;
  if (gguf.contains("rope_factors_long.weight") && !f.error()) {
    const size_t count = c.ropes.front().inverse_frequencies.size();
    const auto short_factors = fields::frequency_factors(f, "rope_factors_short.weight", count);
    const auto long_factors = fields::frequency_factors(f, "rope_factors_long.weight", count);
    d.applied = {"rope_factors_short.weight", "rope_factors_long.weight"};
    const uint32_t original = f.u32("rope.scaling.original_context_length", c.context_length);
    set_ropes(c, short_factors, long_factors, original, f.f32("rope.scaling.attn_factor", 1.0F));
  }
  fields::set_window_everywhere(c, f.u32("attention.sliding_window", 0));
  fields::fuse_qkv(d.names);
  fields::fuse_gate_up(d.names);
  return fields::finish(f, std::move(d));
}

}  // namespace

const Family kPhi3 = {"phi3", kModelTypes, kArchitectures, from_hugging_face, from_gguf};

}  // namespace hearth
