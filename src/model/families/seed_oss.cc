#include <array>

#include "model/families/family.h"
#include "model/families/gguf_fields.h"
#include "model/families/hugging_face_fields.h"

// Seed-OSS (ByteDance): Llama with biases of Q, K and V.
namespace hearth {
namespace {

constexpr std::array<std::string_view, 1> kModelTypes = {"seed_oss"};
constexpr std::array<std::string_view, 1> kArchitectures = {"seed_oss"};

Result<DecoderDescription> from_hugging_face(const nlohmann::json& config) {
  fields::HuggingFaceFields f(config);
  DecoderDescription d = fields::common(f, {.family = "seed_oss",
                                            .sizes = {4096, 27648, 64, 80, 155136},
                                            .context_length = 524288,
                                            .kv_heads = 8,
                                            .head_dim = 128});
  if (f.boolean("attention_bias", true)) fields::add_qkv_biases(d.names);
  if (f.boolean("attention_out_bias", false)) d.names.output_bias = "model.layers.{}.self_attn.o_proj.bias";
  fields::add_feed_forward_biases(f, d.names);
  return fields::finish(f, std::move(d));
}

Result<DecoderDescription> from_gguf(const Gguf& gguf) {
  fields::GgufFields f(gguf);
  DecoderDescription d = fields::common(f, {.family = "seed_oss"});
  d.names.feed_forward_norm = "blk.{}.post_attention_norm.weight";
  return fields::finish(f, std::move(d));
}

}  // namespace

const Family kSeedOss = {"seed_oss", kModelTypes, kArchitectures, from_hugging_face, from_gguf};

}  // namespace hearth
