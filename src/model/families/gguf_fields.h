#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/result.h"
#include "formats/gguf.h"
#include "model/families/family.h"

namespace hearth::fields {

/// Metadata under a GGUF's architecture prefix ("llama.block_count" is u32("block_count")). Errors are collected: read
/// everything, then look at `error()` once.
class GgufFields {
 public:
  explicit GgufFields(const Gguf& gguf);

  uint32_t u32(const std::string& key);
  uint32_t u32(const std::string& key, uint32_t otherwise);
  float f32(const std::string& key, float otherwise);
  std::string string(const std::string& key, const std::string& otherwise);
  bool boolean(const std::string& key, bool otherwise);
  /// An array of bool; nothing where the key is absent or no array.
  std::optional<std::vector<bool>> booleans(const std::string& key);
  /// A number for each of so many layers: of the array, or the same one for all; `otherwise` where the key is absent.
  std::vector<uint32_t> u32_of_layers(const std::string& key, uint32_t layers, uint32_t otherwise);
  /// For a key whose value does not matter here.
  void pass_over(const std::string& key) { read_.insert(key); }
  const Gguf& gguf() const { return gguf_; }

  /// Fails for a key under the prefix that nobody asked for and that is not 0 or false.
  void refuse_unread_keys();

  void fail(Error error);
  const std::optional<Error>& error() const { return error_; }

 private:
  template <class T>
  T take(Result<T> value);
  /// The key with its prefix, remembered as read.
  std::string whole(const std::string& key);

  const Gguf& gguf_;
  std::string prefix_;
  std::set<std::string, std::less<>> read_;
  std::optional<Error> error_;
};

/// What an architecture is that its files do not say.
struct GgufDefaults {
  std::string family;
  /// llama.cpp's converter permutes Q and K of what it takes for a Llama, whose ropes are therefore interleaved.
  bool interleaved_rope = false;
  bool whole_yarn_dimensions = true;  ///< YarnScaling::whole_dimensions, model/rope.h
  Activation activation = Activation::silu;
  bool gated = true;  ///< the feed-forward part
  NormKind norm = NormKind::rms;
  bool has_feed_forward_length = true;  ///< false where no layer has a dense part
  bool has_parts_by_layer = false;      ///< KV heads or a feed-forward length of 0 say that a layer has no such part
  bool layers_differ = false;           ///< in these numbers, and the family's file reads them
};

/// The fields that every architecture here has, the usual tensor names, one rope.
DecoderDescription common(GgufFields& fields, const GgufDefaults& defaults);

/// Q, K and V in one tensor, gate and up in another.
void fuse_qkv(TensorNames& names);
void fuse_gate_up(TensorNames& names);
/// Norms of Q's and K's heads.
void add_head_norms(const Gguf& gguf, TensorNames& names);
/// Norms of what a layer's two parts give; where they are the only ones, the others go.
void add_branch_norms(TensorNames& names);
void branch_norms_only(TensorNames& names);

/// Windows of `window` positions for the layers that attention.sliding_window_pattern names (a flag for each, or every
/// how many layers one sees everything), else for those where `is_sliding(i)`.
template <class F>
void set_windows(GgufFields& fields, uint32_t window, DecoderConfig& config, F&& is_sliding) {
  const std::string key = "attention.sliding_window_pattern";
  const std::optional<std::vector<bool>> flags = fields.booleans(key);
  if (flags && flags->size() < config.layers.size()) {
    return fields.fail({ErrorCode::corrupt, key + " is shorter than the layers are many", ""});
  }
  const uint32_t pattern = flags ? 0 : fields.u32(key, 0);
  for (uint32_t i = 0; i < config.layers.size(); ++i) {
    auto* attention = std::get_if<AttentionConfig>(&config.layers[i].mixer);
    if (attention == nullptr) continue;
    const bool sliding = flags ? (*flags)[i] : pattern > 0 ? (i + 1) % pattern != 0 : is_sliding(i);
    attention->window = sliding ? window : 0;
  }
}

/// gguf_rope.cc: a rope without scaling, and the one that rope.scaling.* and rope_freqs.weight stretch. Empty after an
/// error.
RopeSpec plain_rope(GgufFields& fields, const std::string& theta_key, double default_theta, uint32_t head_dim,
                    const std::string& dimensions_key = "rope.dimension_count");
RopeSpec scaled_rope(GgufFields& fields, uint32_t head_dim, uint32_t context_length, const GgufDefaults& defaults);
/// A float32 for each of `count` pairs of a head; empty after an error.
std::vector<float> frequency_factors(GgufFields& fields, const std::string& tensor, size_t count);

/// `description`, or what was wrong with the fields, or unsupported for a key of the architecture that nobody read.
Result<DecoderDescription> finish(GgufFields& fields, DecoderDescription description);

}  // namespace hearth::fields
