#pragma once

#include <initializer_list>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "formats/checkpoint.h"
#include "formats/tensor_coding.h"

namespace hearth::codings {

/// The tensors of a directory's safetensors files, of which some are parts of coded ones. Codings take those out and
/// put in what they stand for.
class StoredTensors {
 public:
  using ByName = std::map<std::string, TensorInfo, std::less<>>;

  ByName tensors;
  std::map<std::string, std::string, std::less<>> unsupported;  ///< name, and why hearth does not read it
  std::map<std::string, std::string, std::less<>> metadata;     ///< of all files

  bool contains(std::string_view name) const { return tensors.contains(name) || unsupported.contains(name); }
  /// Null where there is none that can be read.
  const TensorInfo* find(std::string_view name) const;
  /// Of all that end with `suffix`, what stands before it.
  std::vector<std::string> before(std::string_view suffix) const;

  /// Takes the parts out and adds the tensor that they make, whose rows come in `format`.
  void join(const std::string& name, std::vector<int64_t> shape, NumberFormat format,
            std::unique_ptr<TensorCoding> coding, std::initializer_list<std::string> parts);
  /// Takes the parts out; `name` is there and cannot be read.
  void refuse(const std::string& name, std::string why, std::initializer_list<std::string> parts);
  /// Takes out what does not matter, if it is there.
  void drop(const std::string& name);

  size_t joined() const { return joined_; }

 private:
  size_t joined_ = 0;  ///< or refused
};

StoredPart part_of(const TensorInfo& tensor);
/// As one matrix: of the last dimension, and of the others together (1 where there are none).
uint64_t columns_of(const TensorInfo& tensor);
uint64_t rows_of(const TensorInfo& tensor);
uint64_t values_of(const TensorInfo& tensor);
bool is_float(NumberFormat format);  ///< f32, f16 or bf16

}  // namespace hearth::codings
