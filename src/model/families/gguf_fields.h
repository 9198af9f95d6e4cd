#pragma once

#include <cstdint>
#include <string>

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
  bool has(const std::string& key) const { return gguf_.metadata().contains(prefix_ + key); }
  const Gguf& gguf() const { return gguf_; }

  void fail(Error error);
  const std::optional<Error>& error() const { return error_; }

 private:
  template <class T>
  T take(Result<T> value);

  const Gguf& gguf_;
  std::string prefix_;
  std::optional<Error> error_;
};

/// The fields that every architecture here has, the usual tensor names, one rope. llama.cpp's converter permutes Q and
/// K of the llama architecture, whose ropes are therefore interleaved.
DecoderDescription common(GgufFields& fields, std::string family, bool interleaved_rope);

/// `description`, or what was wrong with the fields.
Result<DecoderDescription> finish(const GgufFields& fields, DecoderDescription description);

}  // namespace hearth::fields
