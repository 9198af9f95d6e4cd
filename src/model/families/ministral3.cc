#include <algorithm>
#include <array>

#include "model/families/every_layer.h"
#include "model/families/family.h"
#include "model/families/gguf_fields.h"
#include "model/families/hugging_face_fields.h"

// Ministral 3: Mistral whose queries grow with the position, on a yarn rope.
namespace hearth {
namespace {

constexpr std::array<std::string_view, 1> kModelTypes = {"ministral3"};
constexpr std::array<std::string_view, 1> kArchitectures = {"mistral3"};

constexpr const char* kGrowth = "llama_4_scaling_beta";

/// Queries grow at each multiple of the context that the rope was stretched from.
void set_growth(DecoderConfig& c, float growth, uint32_t positions) {
  c.for_each_attention([&](AttentionConfig& attention) {
    attention.query_growth = growth;
    attention.query_growth_positions = std::max(positions, 1U);
  });
}

Result<DecoderDescription> from_hugging_face(const nlohmann::json& config) {
  fields::HuggingFaceFields f(config);
  f.honour_rope_keys({kGrowth, "max_position_embeddings"});
  DecoderDescription d = fields::common(f, {.family = "ministral3",
                                            .sizes = {4096, 14336, 34, 32, 131072},
                                            .rope_theta = 1e6,
                                            .context_length = 262144,
                                            .kv_heads = 8,
                                            .head_dim = 128,
                                            .epsilon = 1e-5F});
  fields::HuggingFaceFields rope(f.has("rope_parameters") ? f.value("rope_parameters") : f.value("rope_scaling"));
  if (!rope.json().is_object()) {
    f.fail("there are no rope_parameters");
    return fields::finish(f, std::move(d));
  }
  const uint32_t original = rope.u32("original_max_position_embeddings", d.config.context_length);
  set_growth(d.config, rope.f32(kGrowth, 0.0F), original);
  if (rope.error()) f.fail("rope parameters: " + rope.error()->message, rope.error()->code);
  fields::set_window_everywhere(d.config, f.u32("sliding_window", 0));
  return fields::finish(f, std::move(d));
}

Result<DecoderDescription> from_gguf(const Gguf& gguf) {
  fields::GgufFields f(gguf);
  DecoderDescription d = fields::common(f, {.family = "ministral3", .interleaved_rope = true});
  set_growth(d.config, f.f32("attention.temperature_scale", 0.0F),
             f.u32("rope.scaling.original_context_length", d.config.context_length));
  // The rope's mscale and mscale_all_dim are one and the same, and heads keep their length.
  if (f.f32("rope.scaling.yarn_log_multiplier", 0.0F) != 0) d.config.ropes.front().magnitude = 1.0F;
  return fields::finish(f, std::move(d));
}

}  // namespace

const Family kMinistral3 = {"ministral3", kModelTypes, kArchitectures, from_hugging_face, from_gguf};

}  // namespace hearth
