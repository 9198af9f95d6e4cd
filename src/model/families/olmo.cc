#include <array>

#include "model/families/every_layer.h"
#include "model/families/family.h"
#include "model/families/gguf_fields.h"
#include "model/families/hugging_face_fields.h"
#include "model/families/hugging_face_rope.h"

// OLMo 2 and 3 (arXiv 2501.00656): norms of branches only, and of all heads of Q and of K together; OLMo 3 with
// windows, whose layers have a rope without scaling.
namespace hearth {
namespace {

constexpr std::array<std::string_view, 2> kModelTypes = {"olmo2", "olmo3"};
constexpr std::array<std::string_view, 1> kArchitectures = {"olmo2"};

constexpr uint32_t kPattern = 4;

/// Rope 0 is the full layers', rope 1 the windowed ones'.
void set_ropes(fields::HuggingFaceFields& f, DecoderConfig& c) {
  fields::RopeDefaults defaults = {.theta = f.f32("rope_theta", 500000.0F)};
  c.for_each_attention([&](AttentionConfig& attention) {
    defaults.head_dim = attention.head_dim;
    attention.rope = attention.window > 0 ? 1 : 0;
  });
  const auto object = [&](const nlohmann::json& parameters) {
    if (!parameters.is_object() && !parameters.is_null()) f.fail("rope parameters are not an object");
    return parameters.is_object() ? parameters : nlohmann::json::object();
  };
  const bool by_layer = !fields::rope_parameters_of(f, "full_attention").is_null() ||
                        !fields::rope_parameters_of(f, "sliding_attention").is_null();
  nlohmann::json full =
      object(by_layer ? fields::rope_parameters_of(f, "full_attention") : fields::single_rope_parameters(f));
  if (by_layer && f.has("rope_scaling")) full.update(object(f.value("rope_scaling")));
  nlohmann::json windowed = object(fields::rope_parameters_of(f, "sliding_attention"));
  if (!windowed.contains("rope_theta") && full.contains("rope_theta")) windowed["rope_theta"] = full["rope_theta"];
  c.ropes = {fields::rope_from_parameters(f, full, defaults), fields::rope_from_parameters(f, windowed, defaults)};
}

Result<DecoderDescription> from_hugging_face(const nlohmann::json& config) {
  fields::HuggingFaceFields f(config);
  const bool is_3 = f.string("model_type", "") == "olmo3";
  DecoderDescription d = fields::common(f, {.family = is_3 ? "olmo3" : "olmo2",
                                            .sizes = {4096, 11008, 32, 32, 50304},
                                            .has_own_ropes = is_3,
                                            .epsilon = 1e-5F});
  if (is_3) {
    fields::set_windows(f, f.u32("sliding_window", 4096, 0), d.config,
                        [](uint32_t layer) { return (layer + 1) % kPattern != 0; });
    set_ropes(f, d.config);
  }
  fields::norm_all_heads(d.config);
  fields::add_attention_biases(f, d.names);
  fields::add_head_norms(f, d.names);
  fields::norm_branches_only(d.names);
  return fields::finish(f, std::move(d));
}

Result<DecoderDescription> from_gguf(const Gguf& gguf) {
  fields::GgufFields f(gguf);
  DecoderDescription d = fields::common(f, {.family = "olmo2"});
  DecoderConfig& c = d.config;
  fields::norm_all_heads(c);
  fields::set_windows(f, f.u32("attention.sliding_window", 0), c,
                      [](uint32_t layer) { return (layer + 1) % kPattern != 0; });
  uint32_t head_dim = 0;
  c.for_each_attention([&](AttentionConfig& attention) {
    head_dim = attention.head_dim;
    attention.rope = attention.window > 0 ? 1 : 0;
  });
  const double theta = f.f32("rope.freq_base", 10000.0F);
  c.ropes.push_back(fields::plain_rope(f, "rope.freq_base_swa", theta, head_dim));
  fields::add_head_norms(gguf, d.names);
  fields::branch_norms_only(d.names);
  return fields::finish(f, std::move(d));
}

}  // namespace

const Family kOlmo = {"olmo2", kModelTypes, kArchitectures, from_hugging_face, from_gguf};

}  // namespace hearth
