#include "model/families/gguf_fields.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "base/printable.h"

namespace hearth::fields {
namespace {

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

/// A file that has a bias in its first layer has it in all.
void add_biases(const Gguf& gguf, TensorNames& names) {
  const auto add = [&](std::string& name, const char* what) {
    const std::string bias = fmt::format("blk.{{}}.{}.bias", what);
    if (gguf.contains(in_layer(bias, 0))) name = bias;
  };
  add(names.q_bias, "attn_q");
  add(names.k_bias, "attn_k");
  add(names.v_bias, "attn_v");
  add(names.output_bias, "attn_output");
  add(names.gate_bias, "ffn_gate");
  add(names.up_bias, "ffn_up");
  add(names.down_bias, "ffn_down");
  add(names.attention_norm_bias, "attn_norm");
  add(names.feed_forward_norm_bias, "ffn_norm");
  if (gguf.contains("output_norm.bias")) names.output_norm_bias = "output_norm.bias";
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

std::string GgufFields::whole(const std::string& key) {
  read_.insert(key);
  return prefix_ + key;
}

uint32_t GgufFields::u32(const std::string& key) { return take(gguf_.metadata().get_u32(whole(key))); }
uint32_t GgufFields::u32(const std::string& key, uint32_t otherwise) {
  return take(gguf_.metadata().get_u32(whole(key), otherwise));
}
float GgufFields::f32(const std::string& key, float otherwise) {
  return take(gguf_.metadata().get_f32(whole(key), otherwise));
}
std::string GgufFields::string(const std::string& key, const std::string& otherwise) {
  return take(gguf_.metadata().get_string(whole(key), otherwise));
}
bool GgufFields::boolean(const std::string& key, bool otherwise) {
  const std::string name = whole(key);
  return gguf_.metadata().contains(name) ? take(gguf_.metadata().get_bool(name)) : otherwise;
}
std::optional<std::vector<bool>> GgufFields::booleans(const std::string& key) {
  if (!gguf_.metadata().is_array(whole(key))) return {};
  return take(gguf_.metadata().get_bool_array(prefix_ + key));
}

std::vector<uint32_t> GgufFields::u32_of_layers(const std::string& key, uint32_t layers, uint32_t otherwise) {
  if (!gguf_.metadata().is_array(whole(key))) return std::vector<uint32_t>(layers, u32(key, otherwise));
  std::vector<uint32_t> values = take(gguf_.metadata().get_u32_array(prefix_ + key));
  if (values.size() >= layers) return values;
  fail({ErrorCode::corrupt, key + " is shorter than the layers are many", ""});
  return std::vector<uint32_t>(layers, otherwise);
}

void GgufFields::refuse_unread_keys() {
  // Said for others than the decoder, or again by the tensors.
  constexpr std::array<std::string_view, 3> kHarmless = {"vocab_size", "rope.scaling.finetuned", "tensor_data_layout"};
  const GgufMetadata& metadata = gguf_.metadata();
  for (const std::string& key : metadata.keys()) {
    if (!key.starts_with(prefix_)) continue;
    const std::string name = key.substr(prefix_.size());
    if (read_.contains(name) || std::ranges::find(kHarmless, name) != kHarmless.end()) continue;
    const auto number = metadata.get_f32(key);
    const auto count = metadata.get_i64(key);
    const auto flag = metadata.get_bool(key);
    const bool is_neutral =
        (number && *number == 0) || (count && *count == 0) || (flag && *flag == (name == "attention.causal"));
    if (!is_neutral) {
      fail({ErrorCode::unsupported, fmt::format("hearth does not honour its key {}", printable(key)),
            "what it says could change the result"});
    }
  }
}

void GgufFields::fail(Error error) {
  if (!error_) error_ = std::move(error);
}

void fuse_qkv(TensorNames& names) {
  names.qkv = "blk.{}.attn_qkv.weight";
  names.q = names.k = names.v = "";
}

void fuse_gate_up(TensorNames& names) {
  names.gate_up = names.up;
  names.gate = names.up = "";
}

void add_head_norms(const Gguf& gguf, TensorNames& names) {
  if (!gguf.contains("blk.0.attn_q_norm.weight")) return;
  names.q_norm = "blk.{}.attn_q_norm.weight";
  names.k_norm = "blk.{}.attn_k_norm.weight";
}

void add_branch_norms(TensorNames& names) {
  names.attention_post_norm = "blk.{}.post_attention_norm.weight";
  names.feed_forward_post_norm = "blk.{}.post_ffw_norm.weight";
}

void branch_norms_only(TensorNames& names) {
  names.attention_norm = names.feed_forward_norm = "";
  add_branch_norms(names);
}

namespace {

/// A number that all layers share, those apart that have 0 because they lack what it counts; the first layer's where
/// they may differ.
uint32_t number_of_layers(GgufFields& fields, const GgufDefaults& defaults, const std::string& key, uint32_t layers,
                          std::optional<uint32_t> otherwise) {
  if (defaults.layers_differ && layers > 0) return fields.u32_of_layers(key, layers, otherwise.value_or(0)).front();
  if (!defaults.has_parts_by_layer) return otherwise ? fields.u32(key, *otherwise) : fields.u32(key);
  const std::vector<uint32_t> all = fields.u32_of_layers(key, layers, otherwise.value_or(0));
  uint32_t number = 0;
  for (const uint32_t own : all) {
    if (own != 0 && number != 0 && own != number) {
      fields.fail({ErrorCode::unsupported, key + " differs between layers, which is not supported", ""});
    }
    number = std::max(number, own);
  }
  return number;
}

}  // namespace

DecoderDescription common(GgufFields& fields, const GgufDefaults& defaults) {
  DecoderDescription description;
  DecoderConfig& c = description.config;
  c.family = defaults.family;
  c.hidden = fields.u32("embedding_length");
  AttentionConfig attention;
  attention.heads = fields.u32("attention.head_count");
  const uint32_t layers = std::min(fields.u32("block_count"), 4097U);
  attention.kv_heads = number_of_layers(fields, defaults, "attention.head_count_kv", layers, attention.heads);
  attention.head_dim = fields.u32("attention.key_length", attention.heads > 0 ? c.hidden / attention.heads : 0);
  if (fields.u32("attention.value_length", attention.head_dim) != attention.head_dim) {
    fields.fail({ErrorCode::unsupported, "keys and values of different sizes are not supported", ""});
  }
  attention.scale = 1.0F / std::sqrt(static_cast<float>(attention.head_dim));
  attention.rope = 0;
  DenseConfig dense = {.width = 1, .activation = defaults.activation, .gated = defaults.gated};
  if (defaults.has_feed_forward_length) {
    dense.width = number_of_layers(fields, defaults, "feed_forward_length", layers, {});
  }
  c.layers.resize(layers, {attention, dense});
  c.vocabulary = vocabulary_size(fields);
  c.context_length = fields.u32("context_length", 2048);
  c.norm = defaults.norm;
  const bool is_rms = c.norm == NormKind::rms;
  c.norm_epsilon = fields.f32(is_rms ? "attention.layer_norm_rms_epsilon" : "attention.layer_norm_epsilon", 1e-6F);
  c.tied_embeddings = !fields.gguf().contains("output.weight");
  c.end_tokens = end_tokens(fields.gguf().metadata());
  const auto bos = fields.gguf().metadata().get_u32("tokenizer.ggml.bos_token_id");
  if (bos && *bos <= INT32_MAX) c.bos_token = static_cast<int32_t>(*bos);
  c.ropes = {scaled_rope(fields, attention.head_dim, c.context_length, defaults)};
  description.names = usual_names();
  if (!defaults.gated) description.names.gate.clear();
  add_biases(fields.gguf(), description.names);
  return description;
}

Result<DecoderDescription> finish(GgufFields& fields, DecoderDescription description) {
  if (!fields.error()) fields.refuse_unread_keys();
  if (fields.error()) {
    const std::string path = fields.gguf().path().string();
    Error error = *fields.error();
    if (!error.message.starts_with(path)) error.message = path + ": " + error.message;
    return std::unexpected(std::move(error));
  }
  return description;
}

}  // namespace hearth::fields
