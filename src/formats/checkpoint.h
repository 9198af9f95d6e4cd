#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/file.h"
#include "base/result.h"
#include "tensor/number_format.h"

namespace hearth {

class TensorCoding;

/// Where one tensor lies.
struct TensorInfo {
  std::string name;
  NumberFormat format = NumberFormat::f32;  ///< of a coded tensor the format in which its rows are best held
  std::vector<int64_t> shape;  ///< outermost dimension first, all positive; [outputs, inputs] for a matrix of weights
  uint32_t file = 0;           ///< index for Checkpoint::file()
  uint64_t offset = 0;         ///< of the first byte in that file
  uint64_t bytes = 0;          ///< exactly what format and shape need; inside the file and shared with no other tensor
  /// How it is made of several stored ones; null for most. Then `file` and `offset` are those of its codes, and `bytes`
  /// those of all its parts.
  std::shared_ptr<const TensorCoding> coding = {};
};

enum class CheckpointKind { gguf, hugging_face };

class Gguf;
class HuggingFaceDirectory;

/// The tensors of a model on disk: names and bytes, no meaning. Immutable once opened, so all functions may be called
/// from many threads at once. The files stay open for as long as the object lives.
class Checkpoint {
 public:
  virtual ~Checkpoint() = default;
  Checkpoint(const Checkpoint&) = delete;
  Checkpoint& operator=(const Checkpoint&) = delete;

  virtual CheckpointKind kind() const = 0;

  /// What else the checkpoint knows: exactly one of these is not null.
  virtual const Gguf* as_gguf() const { return nullptr; }
  virtual const HuggingFaceDirectory* as_hugging_face() const { return nullptr; }

  /// The path that was opened: a file or a directory.
  const std::filesystem::path& path() const { return path_; }

  /// True when the files name this tensor, in whatever number format.
  bool contains(std::string_view name) const;

  /// `not_found`, or `unsupported` for a tensor whose number format hearth does not read; both name the tensor.
  Result<TensorInfo> find(std::string_view name) const;

  /// The names of all tensors, also of those that cannot be read, sorted.
  std::vector<std::string> names() const;

  /// All tensors that can be read, in the order of the files.
  const std::vector<TensorInfo>& tensors() const { return tensors_; }

  /// Fills `out` with the tensor's bytes from `byte_offset` on, those of a coded one part by part; `invalid_argument`
  /// beyond its end.
  Result<void> read(const TensorInfo& tensor, uint64_t byte_offset, std::span<std::byte> out) const;

  size_t file_count() const { return files_.size(); }
  const File& file(uint32_t index) const { return files_[index]; }

 protected:
  explicit Checkpoint(std::filesystem::path path) : path_(std::move(path)) {}

  /// Adds an opened file and returns its index.
  uint32_t add_file(File file);

  /// Both refuse a name that is there already (`corrupt`).
  Result<void> add_tensor(TensorInfo tensor);
  Result<void> add_unsupported(std::string name, std::string why);

  /// What may help who misses a tensor: a file that is not there.
  virtual std::string where_it_should_be(std::string_view /*tensor*/) const { return {}; }

 private:
  struct NameHash {
    using is_transparent = void;
    size_t operator()(std::string_view name) const { return std::hash<std::string_view>{}(name); }
  };
  template <class T>
  using ByName = std::unordered_map<std::string, T, NameHash, std::equal_to<>>;

  std::filesystem::path path_;
  std::vector<File> files_;
  std::vector<TensorInfo> tensors_;
  ByName<size_t> index_;             // into tensors_
  ByName<std::string> unsupported_;  // name → why
};

/// Opens a GGUF file (or the first file of a split one) or a Hugging Face directory, whichever `path` is. Reads the
/// headers only. Anything else is an error that says what was found and what is accepted.
Result<std::unique_ptr<Checkpoint>> open_checkpoint(const std::filesystem::path& path);

}  // namespace hearth
