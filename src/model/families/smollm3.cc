#include <algorithm>
#include <array>

#include "model/families/family.h"
#include "model/families/gguf_fields.h"
#include "model/families/hugging_face_fields.h"

// SmolLM3 (Hugging Face): Llama with every fourth layer without a rope.
namespace hearth {
namespace {

constexpr std::array<std::string_view, 1> kModelTypes = {"smollm3"};
constexpr std::array<std::string_view, 1> kArchitectures = {"smollm3"};

constexpr uint32_t kInterval = 4;

template <class HasRope>
void leave_ropes_out(DecoderConfig& c, HasRope&& has_rope) {
  uint32_t i = 0;
  c.for_each_attention([&](AttentionConfig& attention) {
    if (!has_rope(i++)) attention.rope.reset();
  });
}

Result<DecoderDescription> from_hugging_face(const nlohmann::json& config) {
  fields::HuggingFaceFields f(config);
  DecoderDescription d = fields::common(f, {.family = "smollm3",
                                            .sizes = {2048, 11008, 36, 16, 128256},
                                            .rope_theta = 2e6,
                                            .context_length = 32768,
                                            .kv_heads = 4,
                                            .tied_embeddings = true});
  const uint32_t interval = std::max(1U, f.u32("no_rope_layer_interval", kInterval));
  const nlohmann::json& flags = f.value("no_rope_layers");  // 1 where there is one
  const bool is_listed = flags.is_array() && flags.size() == d.config.layers.size();
  if (f.has("no_rope_layers") && !is_listed) f.fail("no_rope_layers is not a list with an entry for each layer");
  leave_ropes_out(d.config, [&](uint32_t i) { return is_listed ? flags[i] == 1 : (i + 1) % interval != 0; });
  if (f.boolean("use_sliding_window", false)) {
    fields::set_windows(f, f.u32("sliding_window", 0), d.config,
                        [&](uint32_t i) { return is_listed ? flags[i] != 1 : (i + 1) % interval == 0; });
  }
  f.pass_over("sliding_window");  // which means nothing without use_sliding_window
  fields::add_attention_biases(f, d.names);
  fields::add_feed_forward_biases(f, d.names);
  return fields::finish(f, std::move(d));
}

Result<DecoderDescription> from_gguf(const Gguf& gguf) {
  fields::GgufFields f(gguf);
  DecoderDescription d = fields::common(f, {.family = "smollm3", .interleaved_rope = true});
  leave_ropes_out(d.config, [](uint32_t i) { return (i + 1) % kInterval != 0; });  // which no key says
  return fields::finish(f, std::move(d));
}

}  // namespace

const Family kSmolLM3 = {"smollm3", kModelTypes, kArchitectures, from_hugging_face, from_gguf};

}  // namespace hearth
