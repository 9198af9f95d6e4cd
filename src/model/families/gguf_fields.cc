#include "model/families/gguf_fields.h"

#include <fmt/format.h>

#include <cmath>
#include <cstring>

#include "model/rope.h"

namespace hearth::fields {
namespace {

/// rope_freqs.weight holds divisors of the frequencies, which is how converters write Llama 3.1's scaling.
void apply_frequency_factors(GgufFields& fields, RopeSpec& rope) {
  const Gguf& gguf = fields.gguf();
  if (!gguf.contains("rope_freqs.weight")) return;
  const auto info = gguf.find("rope_freqs.weight");
  if (!info) return fields.fail(info.error());
  std::vector<float> factors(rope.inverse_frequencies.size());
  if (info->format != NumberFormat::f32 || info->bytes != factors.size() * sizeof(float)) {
    return fields.fail({ErrorCode::corrupt, "rope_freqs.weight does not have a float32 for each pair of a head", ""});
  }
  if (auto read = gguf.read(*info, 0, std::as_writable_bytes(std::span(factors))); !read) {
    return fields.fail(read.error());
  }
  for (size_t i = 0; i < factors.size(); ++i) {
    if (!(std::isfinite(factors[i]) && factors[i] > 0)) {
      return fields.fail({ErrorCode::corrupt, "rope_freqs.weight has a factor that is not positive", ""});
    }
    rope.inverse_frequencies[i] /= factors[i];
  }
}

RopeSpec read_rope(GgufFields& fields, uint32_t head_dim, uint32_t context_length, bool interleaved) {
  const double theta = fields.f32("rope.freq_base", 10000.0F);
  const uint32_t rotary_dim = fields.u32("rope.dimension_count", head_dim);
  const std::string scaling = fields.string("rope.scaling.type", "none");
  const float factor = fields.f32("rope.scaling.factor", 1.0F);

  RopeSpec rope;
  rope.interleaved = interleaved;
  if (rotary_dim > head_dim || !(theta > 0) || !(factor > 0)) {
    fields.fail({ErrorCode::corrupt, "rope fields make no sense", ""});
    return rope;
  }
  rope.inverse_frequencies = rope_inverse_frequencies(theta, rotary_dim);
  if (scaling == "linear") {
    scale_linear(rope, factor);
  } else if (scaling == "yarn") {
    const uint32_t original = fields.u32("rope.scaling.original_context_length", context_length);
    scale_yarn(rope, theta, rotary_dim,
               {.factor = factor,
                .original_context = static_cast<double>(original),
                .magnitude = fields.f32("rope.scaling.attn_factor", 1.0F) * yarn_magnitude(factor)});
  } else if (scaling != "none") {
    fields.fail({ErrorCode::unsupported, fmt::format("rope scaling '{}' is not supported", scaling), ""});
  }
  apply_frequency_factors(fields, rope);
  return rope;
}

uint32_t vocabulary_size(GgufFields& fields) {
  const auto embedding = fields.gguf().find("token_embd.weight");
  if (!embedding) {
    fields.fail(embedding.error());
    return 0;
  }
  return embedding->shape.size() == 2 ? static_cast<uint32_t>(embedding->shape[0]) : 0;
}

std::vector<int32_t> end_tokens(const GgufMetadata& metadata) {
  std::vector<int32_t> ids;
  for (const char* key : {"tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id"}) {
    const auto id = metadata.get_u32(key);
    if (id && *id <= INT32_MAX) ids.push_back(static_cast<int32_t>(*id));
  }
  return ids;
}

TensorNames usual_names() {
  const std::string layer = "blk.{}.";
  return {.embedding = "token_embd.weight",
          .output_norm = "output_norm.weight",
          .head = "output.weight",
          .attention_norm = layer + "attn_norm.weight",
          .q = layer + "attn_q.weight",
          .k = layer + "attn_k.weight",
          .v = layer + "attn_v.weight",
          .output = layer + "attn_output.weight",
          .feed_forward_norm = layer + "ffn_norm.weight",
          .gate = layer + "ffn_gate.weight",
          .up = layer + "ffn_up.weight",
          .down = layer + "ffn_down.weight"};
}

}  // namespace

GgufFields::GgufFields(const Gguf& gguf) : gguf_(gguf) {
  prefix_ = gguf.metadata().get_string("general.architecture", "").value_or("") + ".";
}

template <class T>
T GgufFields::take(Result<T> value) {
  if (value) return std::move(*value);
  fail(value.error());
  return T{};
}

uint32_t GgufFields::u32(const std::string& key) { return take(gguf_.metadata().get_u32(prefix_ + key)); }
uint32_t GgufFields::u32(const std::string& key, uint32_t otherwise) {
  return take(gguf_.metadata().get_u32(prefix_ + key, otherwise));
}
float GgufFields::f32(const std::string& key, float otherwise) {
  return take(gguf_.metadata().get_f32(prefix_ + key, otherwise));
}
std::string GgufFields::string(const std::string& key, const std::string& otherwise) {
  return take(gguf_.metadata().get_string(prefix_ + key, otherwise));
}

void GgufFields::fail(Error error) {
  if (!error_) error_ = std::move(error);
}

DecoderDescription common(GgufFields& fields, std::string family, bool interleaved_rope) {
  DecoderDescription description;
  DecoderConfig& c = description.config;
  c.family = std::move(family);
  c.hidden = fields.u32("embedding_length");
  c.feed_forward = fields.u32("feed_forward_length");
  c.heads = fields.u32("attention.head_count");
  c.kv_heads = fields.u32("attention.head_count_kv", c.heads);
  c.head_dim = fields.u32("attention.key_length", c.heads > 0 ? c.hidden / c.heads : 0);
  if (fields.u32("attention.value_length", c.head_dim) != c.head_dim) {
    fields.fail({ErrorCode::unsupported, "keys and values of different sizes are not supported", ""});
  }
  c.vocabulary = vocabulary_size(fields);
  c.context_length = fields.u32("context_length", 2048);
  c.layers.resize(std::min(fields.u32("block_count"), 4097U));
  c.norm_epsilon = fields.f32("attention.layer_norm_rms_epsilon", 1e-6F);
  c.attention_scale = 1.0F / std::sqrt(static_cast<float>(c.head_dim));
  c.tied_embeddings = !fields.gguf().contains("output.weight");
  c.end_tokens = end_tokens(fields.gguf().metadata());
  const auto bos = fields.gguf().metadata().get_u32("tokenizer.ggml.bos_token_id");
  if (bos && *bos <= INT32_MAX) c.bos_token = static_cast<int32_t>(*bos);
  if (!fields.error() && c.head_dim <= 4096) {
    c.ropes = {read_rope(fields, c.head_dim, c.context_length, interleaved_rope)};
  }
  description.names = usual_names();
  return description;
}

Result<DecoderDescription> finish(const GgufFields& fields, DecoderDescription description) {
  if (fields.error()) {
    const std::string path = fields.gguf().path().string();
    Error error = *fields.error();
    if (!error.message.starts_with(path)) error.message = path + ": " + error.message;
    return std::unexpected(std::move(error));
  }
  return description;
}

}  // namespace hearth::fields
