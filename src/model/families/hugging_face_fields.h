#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/result.h"
#include "model/decoder_config.h"
#include "model/families/family.h"

namespace hearth::fields {

/// Typed fields of config.json. A field that is absent or null takes the default; without a default it is an error.
/// Errors are collected: read everything, then look at `error()` once.
class HuggingFaceFields {
 public:
  explicit HuggingFaceFields(const nlohmann::json& config) : config_(config) {}

  uint32_t u32(const char* key);
  uint32_t u32(const char* key, uint32_t otherwise);
  float f32(const char* key);
  float f32(const char* key, float otherwise);
  bool boolean(const char* key, bool otherwise);
  std::string string(const char* key, const std::string& otherwise);
  bool has(const char* key) const { return config_.contains(key) && !config_.at(key).is_null(); }
  const nlohmann::json& json() const { return config_; }

  void fail(std::string message);
  /// Empty when every field so far was fine.
  const std::string& error() const { return error_; }

 private:
  template <class T>
  T number(const char* key, const T* otherwise);

  const nlohmann::json& config_;
  std::string error_;
};

/// An id or a list of ids; empty when absent or of another type.
std::vector<int32_t> token_ids(const nlohmann::json& config, const char* key);

/// A rope as transformers writes it: {"rope_type", "rope_theta", "factor", ...}. Kinds default, linear, llama3, yarn.
RopeSpec rope_from_parameters(HuggingFaceFields& fields, const nlohmann::json& parameters, double default_theta,
                              uint32_t head_dim);

/// The one rope of a model whose layers all turn alike: rope_parameters (transformers 5), or rope_theta and
/// rope_scaling (before).
RopeSpec single_rope(HuggingFaceFields& fields, double default_theta, uint32_t head_dim);

/// "sliding_attention" entries of layer_types get `window`; without the list, layers where `is_sliding(i)`.
template <class F>
void set_windows(HuggingFaceFields& fields, uint32_t window, std::vector<AttentionConfig>& layers, F&& is_sliding) {
  const bool listed = fields.has("layer_types") && fields.json()["layer_types"].is_array() &&
                      fields.json()["layer_types"].size() == layers.size();
  for (uint32_t i = 0; i < layers.size(); ++i) {
    const bool sliding = listed ? fields.json()["layer_types"][i] == "sliding_attention" : is_sliding(i);
    layers[i].window = sliding ? window : 0;
  }
}

/// The fields that every family here has, the usual tensor names, one rope with the given default theta.
DecoderDescription common(HuggingFaceFields& fields, std::string family, double default_theta);

/// `description`, or what was wrong with the fields.
Result<DecoderDescription> finish(const HuggingFaceFields& fields, DecoderDescription description);

}  // namespace hearth::fields
