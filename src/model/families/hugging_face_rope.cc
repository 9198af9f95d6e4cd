#include "model/families/hugging_face_rope.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "model/rope.h"

namespace hearth::fields {
namespace {

/// Keys that some kind of rope reads. Those of another kind than the rope's have no meaning, in transformers as here.
constexpr std::array<std::string_view, 17> kKnown = {"rope_type",        "type",
                                                     "rope_theta",       "partial_rotary_factor",
                                                     "factor",           "original_max_position_embeddings",
                                                     "attention_factor", "beta_fast",
                                                     "beta_slow",        "low_freq_factor",
                                                     "high_freq_factor", "mscale",
                                                     "mscale_all_dim",   "truncate",
                                                     "short_factor",     "long_factor",
                                                     "finetuned"};

double positive(HuggingFaceFields& rope, const char* key, double number) {
  if (!(std::isfinite(number) && number > 0)) rope.fail(fmt::format("{} is {}, not a positive number", key, number));
  return number;
}

double positive(HuggingFaceFields& rope, const char* key) { return positive(rope, key, rope.f32(key)); }

/// Pairs of dimensions that turn, times two; 0 after an error.
uint32_t rotary_dim(HuggingFaceFields& fields, HuggingFaceFields& rope, const RopeDefaults& defaults) {
  const uint32_t head_dim = defaults.head_dim;
  const double partial = rope.f32("partial_rotary_factor", fields.f32("partial_rotary_factor", defaults.partial));
  const double turned = head_dim * partial;
  if (!(turned >= 2 && turned <= head_dim) || static_cast<uint32_t>(turned) % 2 != 0) {
    rope.fail(
        fmt::format("partial_rotary_factor is {}, which turns no whole pairs of a head of {}", partial, head_dim));
    return 0;
  }
  return static_cast<uint32_t>(turned);
}

/// Positions that the model was trained for before it was stretched.
double original_context(HuggingFaceFields& fields, HuggingFaceFields& rope) {
  const char* key = "original_max_position_embeddings";
  if (rope.has(key)) return positive(rope, key);
  return positive(rope, key, fields.u32(fields.has(key) ? key : "max_position_embeddings"));
}

double yarn_magnitude_of(HuggingFaceFields& rope, double factor) {
  if (rope.has("attention_factor")) return positive(rope, "attention_factor");
  const double mscale = rope.f32("mscale", 0.0F), all = rope.f32("mscale_all_dim", 0.0F);
  return mscale != 0 && all != 0 ? yarn_magnitude(factor, mscale) / yarn_magnitude(factor, all)
                                 : yarn_magnitude(factor);
}

/// A share of the pairs turns; the others are there, and stand still.
void make_proportional(HuggingFaceFields& rope, double theta, uint32_t head_dim, RopeSpec& spec) {
  const double partial = rope.f32("partial_rotary_factor", 1.0F);
  if (!(partial > 0 && partial <= 1)) return rope.fail(fmt::format("partial_rotary_factor is {}", partial));
  const auto pairs = static_cast<uint32_t>(partial * head_dim / 2);
  spec.inverse_frequencies = proportional_inverse_frequencies(theta, head_dim, pairs);
  scale_linear(spec, positive(rope, "factor", rope.f32("factor", 1.0F)));
}

void scale(HuggingFaceFields& fields, HuggingFaceFields& rope, const std::string& type, double theta,
           uint32_t rotary_dim, RopeSpec& spec) {
  if (type == "linear") {
    scale_linear(spec, positive(rope, "factor"));
  } else if (type == "llama3") {
    scale_llama3(spec, {.factor = positive(rope, "factor"),
                        .low_frequency_factor = positive(rope, "low_freq_factor"),
                        .high_frequency_factor = positive(rope, "high_freq_factor"),
                        .original_context = original_context(fields, rope)});
  } else if (type == "yarn") {
    const double original = original_context(fields, rope);
    const double factor =
        rope.has("factor") ? positive(rope, "factor") : fields.u32("max_position_embeddings") / original;
    scale_yarn(spec, theta, rotary_dim,
               {.factor = factor,
                .beta_fast = positive(rope, "beta_fast", rope.f32("beta_fast", 32.0F)),
                .beta_slow = positive(rope, "beta_slow", rope.f32("beta_slow", 1.0F)),
                .original_context = original,
                .magnitude = yarn_magnitude_of(rope, factor),
                .whole_dimensions = rope.boolean("truncate", true)});
  } else if (type == "dynamic") {
    // Frequencies change behind max_position_embeddings, as far as contexts go (engine/cache/cache_plan.h).
    positive(rope, "factor");
  } else if (type != "default") {
    rope.fail(fmt::format("rope type '{}' is not supported", type), ErrorCode::unsupported);
  } else if (!rope.has("rope_type") && !rope.has("type") && rope.f32("factor", 1.0F) != 1.0F) {
    rope.fail("there is a factor and no rope_type that says what it is for", ErrorCode::unsupported);
  }
}

}  // namespace

void refuse_unknown_rope_keys(HuggingFaceFields& fields, HuggingFaceFields& rope) {
  for (const auto& [key, value] : rope.json().items()) {
    if (std::ranges::find(kKnown, key) == kKnown.end() && !fields.honours_rope_key(key) && !value.is_null()) {
      rope.fail(fmt::format("{} is not supported", key.substr(0, 40)), ErrorCode::unsupported);
    }
  }
}

RopeSpec rope_from_parameters(HuggingFaceFields& fields, const nlohmann::json& parameters,
                              const RopeDefaults& defaults) {
  RopeSpec spec;
  if (!parameters.is_object()) return fields.fail("rope parameters are not an object"), spec;
  HuggingFaceFields rope(parameters);
  refuse_unknown_rope_keys(fields, rope);
  const double theta = positive(rope, "rope_theta", rope.f32("rope_theta", static_cast<float>(defaults.theta)));
  const uint32_t head_dim = defaults.head_dim;
  if (head_dim == 0 || head_dim > kMostHeadDim) rope.fail(fmt::format("a head has {} dimensions", head_dim));
  spec.interleaved = defaults.interleaved;
  const std::string type = rope.string("rope_type", rope.string("type", "default"));
  if (type == "proportional" && !rope.error()) {
    make_proportional(rope, theta, head_dim, spec);
  } else {
    const uint32_t turned = rope.error() ? 0 : rotary_dim(fields, rope, defaults);
    if (!rope.error()) {
      spec.inverse_frequencies = rope_inverse_frequencies(theta, turned);
      scale(fields, rope, type, theta, turned, spec);
    }
  }
  if (rope.error()) fields.fail("rope parameters: " + rope.error()->message, rope.error()->code);
  return spec;
}

void refuse_ropes_of_other_layers(HuggingFaceFields& fields, std::pair<std::string_view, std::string_view> kinds) {
  const nlohmann::json& all = fields.value("rope_parameters");
  if (!all.is_null() && !all.is_object()) return fields.fail("rope_parameters are not an object");
  for (const auto& [key, value] : all.items()) {
    if (key == kinds.first || key == kinds.second) continue;
    fields.fail(fmt::format("rope_parameters has {} beside {} and {}", key.substr(0, 40), kinds.first, kinds.second),
                ErrorCode::unsupported);
  }
}

nlohmann::json single_rope_parameters(HuggingFaceFields& fields) {
  const bool both = fields.has("rope_parameters") && fields.has("rope_scaling");
  if (both && fields.value("rope_parameters") != fields.value("rope_scaling")) {
    fields.fail("there are rope_parameters and rope_scaling, and they differ", ErrorCode::unsupported);
  }
  for (const char* key : {"rope_parameters", "rope_scaling"}) {
    if (fields.has(key)) return fields.value(key);
  }
  return nlohmann::json::object();
}

RopeSpec single_rope(HuggingFaceFields& fields, RopeDefaults defaults) {
  defaults.theta = fields.f32("rope_theta", static_cast<float>(defaults.theta));
  return rope_from_parameters(fields, single_rope_parameters(fields), defaults);
}

nlohmann::json rope_parameters_of(HuggingFaceFields& fields, const char* layer_type) {
  const nlohmann::json& all = fields.value("rope_parameters");
  if (!all.is_object() || !all.contains(layer_type)) return nullptr;
  return all[layer_type];
}

}  // namespace hearth::fields
