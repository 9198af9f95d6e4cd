#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "model/decoder_config.h"
#include "model/families/family.h"

namespace hearth::fields {

/// Typed fields of config.json. A field that is absent or null takes the default; without a default it is an error.
/// Errors are collected: read everything, then look at `error()` once. Remembers which keys were asked for.
class HuggingFaceFields {
 public:
  /// `config` must be an object and outlive this.
  explicit HuggingFaceFields(const nlohmann::json& config) : config_(config) {}

  uint32_t u32(const char* key);
  uint32_t u32(const char* key, uint32_t otherwise);
  /// Finite, and within float32.
  float f32(const char* key);
  float f32(const char* key, float otherwise);
  /// The same, where null is something else than absent: `null` for null.
  uint32_t u32(const char* key, uint32_t absent, uint32_t null);
  float f32(const char* key, float absent, float null);
  bool boolean(const char* key, bool otherwise);
  std::string string(const char* key, const std::string& otherwise);
  /// There, and not null.
  bool has(const char* key);
  /// The value as it is; null when absent.
  const nlohmann::json& value(const char* key);
  /// For a key whose value does not matter here, such as a window's size where no layer has one.
  void pass_over(const char* key) { read_.insert(key); }

  /// Keys of rope parameters that the family's own file reads.
  void honour_rope_keys(std::set<std::string, std::less<>> keys) { rope_keys_ = std::move(keys); }
  bool honours_rope_key(std::string_view key) const { return rope_keys_.contains(key); }

  const nlohmann::json& json() const { return config_; }
  bool was_read(const std::string& key) const { return read_.contains(key); }

  /// The first one counts. `corrupt` is a value that makes no sense, `unsupported` one that hearth does not honour.
  void fail(std::string message, ErrorCode code = ErrorCode::corrupt);
  const std::optional<Error>& error() const { return error_; }

 private:
  template <class T>
  T number(const char* key, const T* otherwise);

  const nlohmann::json& config_;
  std::set<std::string, std::less<>> read_, rope_keys_;
  std::optional<Error> error_;
};

/// An id or a list of ids; empty when absent or of another type.
std::vector<int32_t> token_ids(const nlohmann::json& config, const char* key);

/// Sizes that a file need not say: the text_config of a model that also sees often holds only what differs from them.
struct Sizes {
  uint32_t hidden = 0;
  uint32_t width = 0;  ///< of the feed-forward part
  uint32_t layers = 0;
  uint32_t heads = 0;
  uint32_t vocabulary = 0;
};

/// What a family's configuration takes for keys that are absent.
struct Defaults {
  std::string family;
  Sizes sizes;
  bool has_own_ropes = false;  ///< that the family's file reads; otherwise all layers share one
  double rope_theta = 10000.0;
  float partial_rotary = 1.0F;  ///< share of a head's dimensions that turn
  bool interleaved_rope = false;
  uint32_t context_length = 2048;
  std::optional<uint32_t> kv_heads;  ///< as many as heads where there is no value
  std::optional<uint32_t> head_dim;  ///< hidden size / heads where there is no value
  bool tied_embeddings = false;
  const char* activation_key = "hidden_act";
  Activation activation = Activation::silu;
  bool gated = true;  ///< the feed-forward part
  NormKind norm = NormKind::rms;
  const char* epsilon_key = "rms_norm_eps";
  float epsilon = 1e-6F;
};

/// The fields that every family here has, the usual tensor names, the rope.
DecoderDescription common(HuggingFaceFields& fields, const Defaults& defaults);

/// Adds the biases of Q, K and V where attention_bias is true, as it is `usually`; and with them the output's.
void add_attention_biases(HuggingFaceFields& fields, TensorNames& names, bool usually = false);
void add_qkv_biases(TensorNames& names);
/// Where mlp_bias is true.
void add_feed_forward_biases(HuggingFaceFields& fields, TensorNames& names);
/// Fails where the file says that Q's and K's heads have no norms, for a family where all have.
void expect_head_norms(HuggingFaceFields& fields);
/// These norms, as most families call them.
void add_head_norms(HuggingFaceFields& fields, TensorNames& names);
/// Norms of what a layer's two parts give, as most families call them that have no others.
void norm_branches_only(TensorNames& names);

/// "sliding_attention" entries of layer_types get `window`; without the list, layers where `is_sliding(i)`. No windows
/// for a window of 0, which layer_types must not ask for.
template <class F>
void set_windows(HuggingFaceFields& fields, uint32_t window, DecoderConfig& config, F&& is_sliding) {
  const bool is_listed = fields.has("layer_types");
  const nlohmann::json& types = fields.value("layer_types");
  if (is_listed && (!types.is_array() || types.size() != config.layers.size())) {
    return fields.fail("layer_types is not a list with an entry for each layer");
  }
  for (uint32_t i = 0; i < config.layers.size(); ++i) {
    auto* attention = std::get_if<AttentionConfig>(&config.layers[i].mixer);
    if (attention == nullptr) continue;
    if (is_listed && types[i] != "sliding_attention" && types[i] != "full_attention") {
      return fields.fail("layer_types has " + types[i].dump().substr(0, 40), ErrorCode::unsupported);
    }
    const bool sliding = is_listed ? types[i] == "sliding_attention" : is_sliding(i);
    if (is_listed && sliding && window == 0) return fields.fail("layer_types asks for windows, but none has a size");
    attention->window = sliding ? window : 0;
  }
}

/// `description`, or what was wrong with the fields, or unsupported for a value that changes the result and was not
/// read (unread_keys.h).
Result<DecoderDescription> finish(HuggingFaceFields& fields, DecoderDescription description);

}  // namespace hearth::fields
