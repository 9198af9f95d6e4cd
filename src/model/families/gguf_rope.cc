#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <span>

#include "model/families/gguf_fields.h"
#include "model/rope.h"

namespace hearth::fields {
namespace {

/// rope_freqs.weight holds divisors of the frequencies, which is how converters write Llama 3.1's scaling.
void apply_frequency_factors(GgufFields& fields, RopeSpec& rope) {
  if (!fields.gguf().contains("rope_freqs.weight")) return;
  const std::vector<float> factors = frequency_factors(fields, "rope_freqs.weight", rope.inverse_frequencies.size());
  for (size_t i = 0; i < factors.size(); ++i) rope.inverse_frequencies[i] /= factors[i];
}

double positive(GgufFields& fields, const std::string& key, float otherwise) {
  const float number = fields.f32(key, otherwise);
  if (!(number > 0)) fields.fail({ErrorCode::corrupt, fmt::format("{} is {}, not a positive number", key, number), ""});
  return number;
}

/// Dimensions of a head that turn; 0 after an error.
uint32_t rotary_dim(GgufFields& fields, const std::string& key, uint32_t head_dim) {
  const uint32_t turned = fields.u32(key, head_dim);
  if (fields.error()) return 0;
  if (head_dim <= kMostHeadDim && turned > 0 && turned <= head_dim && turned % 2 == 0) return turned;
  fields.fail({ErrorCode::corrupt, fmt::format("{} is {}, for heads of {} dimensions", key, turned, head_dim), ""});
  return 0;
}

/// How often positions are stretched; older files have another key, and 0 for not at all.
double scaling_factor(GgufFields& fields) {
  const float factor = fields.f32("rope.scaling.factor", fields.f32("rope.scale_linear", 1.0F));
  if (factor == 0) return 1;
  if (!(factor > 0)) fields.fail({ErrorCode::corrupt, "rope.scaling.factor is negative", ""});
  return factor;
}

void scale(GgufFields& fields, uint32_t context_length, double theta, bool whole_dimensions, RopeSpec& rope) {
  // llama.cpp writes no type for linear scaling.
  const std::string scaling = fields.string("rope.scaling.type", "linear");
  const double factor = scaling_factor(fields);
  const double original = positive(fields, "rope.scaling.original_context_length", static_cast<float>(context_length));
  // Converters write transformers' attention_factor there, which is used instead of what follows from the factor.
  const double magnitude = positive(fields, "rope.scaling.yarn_attn_factor", yarn_magnitude(factor));
  const YarnScaling yarn = {.factor = factor,
                            .beta_fast = positive(fields, "rope.scaling.yarn_beta_fast", 32.0F),
                            .beta_slow = positive(fields, "rope.scaling.yarn_beta_slow", 1.0F),
                            .original_context = original,
                            .magnitude = positive(fields, "rope.scaling.attn_factor", 1.0F) * magnitude,
                            .whole_dimensions = whole_dimensions};
  const float extrapolated = fields.f32("rope.scaling.yarn_ext_factor", 1.0F);
  if (fields.error()) return;
  if (scaling == "linear") {
    scale_linear(rope, factor);
  } else if (scaling == "yarn" && extrapolated == 1.0F) {
    scale_yarn(rope, theta, static_cast<uint32_t>(2 * rope.inverse_frequencies.size()), yarn);
  } else if (scaling == "yarn") {
    fields.fail({ErrorCode::unsupported, fmt::format("rope.scaling.yarn_ext_factor is {}", extrapolated), ""});
  } else if (scaling != "none") {
    fields.fail({ErrorCode::unsupported, fmt::format("rope scaling '{}' is not supported", scaling), ""});
  }
}

}  // namespace

std::vector<float> frequency_factors(GgufFields& fields, const std::string& tensor, size_t count) {
  const auto fail = [&](const char* why) {
    fields.fail({ErrorCode::corrupt, fmt::format("{} {}", tensor, why), ""});
    return std::vector<float>();
  };
  const auto info = fields.gguf().find(tensor);
  if (!info) return fields.fail(info.error()), std::vector<float>();
  std::vector<float> factors(count);
  if (info->format != NumberFormat::f32 || info->bytes != factors.size() * sizeof(float)) {
    return fail("does not have a float32 for each pair of a head");
  }
  if (auto read = fields.gguf().read(*info, 0, std::as_writable_bytes(std::span(factors))); !read) {
    return fields.fail(read.error()), std::vector<float>();
  }
  const auto is_positive = [](float factor) { return std::isfinite(factor) && factor > 0; };
  return std::ranges::all_of(factors, is_positive) ? factors : fail("has a factor that is not positive");
}

RopeSpec plain_rope(GgufFields& fields, const std::string& theta_key, double default_theta, uint32_t head_dim,
                    const std::string& dimensions_key) {
  RopeSpec rope;
  const double theta = positive(fields, theta_key, static_cast<float>(default_theta));
  const uint32_t turned = rotary_dim(fields, dimensions_key, head_dim);
  if (!fields.error()) rope.inverse_frequencies = rope_inverse_frequencies(theta, turned);
  return rope;
}

RopeSpec scaled_rope(GgufFields& fields, uint32_t head_dim, uint32_t context_length, const GgufDefaults& defaults) {
  RopeSpec rope = plain_rope(fields, "rope.freq_base", 10000.0, head_dim);
  rope.interleaved = defaults.interleaved_rope;
  scale(fields, context_length, fields.f32("rope.freq_base", 10000.0F), defaults.whole_yarn_dimensions, rope);
  if (!fields.error()) apply_frequency_factors(fields, rope);
  return rope;
}

}  // namespace hearth::fields
