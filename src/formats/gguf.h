#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>

#include "base/result.h"
#include "formats/checkpoint.h"
#include "formats/gguf_metadata.h"

namespace hearth {

/// A GGUF model: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. Versions 2 and 3, little endian, in one
/// file or split into name-00001-of-0000N.gguf beside each other. Every length and offset is checked against the file
/// before it is used; memory is bounded by the header's true size.
class Gguf final : public Checkpoint {
 public:
  /// Errors: not_found, io, corrupt (the bytes contradict themselves), unsupported (big endian, version 1, arrays of
  /// arrays). A tensor of an unsupported type is no error here, but when it is asked for.
  static Result<std::unique_ptr<Gguf>> open(const std::filesystem::path& path);

  CheckpointKind kind() const override { return CheckpointKind::gguf; }
  const Gguf* as_gguf() const override { return this; }

  uint32_t version() const { return version_; }

  /// The key-value pairs; of the first file when the model is split.
  const GgufMetadata& metadata() const { return metadata_; }

 private:
  explicit Gguf(std::filesystem::path path) : Checkpoint(std::move(path)) {}
  Result<void> read_file(const std::filesystem::path& path, GgufMetadata& metadata);
  Result<void> read_other_splits();

  uint32_t version_ = 0;
  uint64_t tensor_count_ = 0;  // of all files, with those that cannot be read
  GgufMetadata metadata_;
};

}  // namespace hearth
