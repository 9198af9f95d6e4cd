#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/result.h"
#include "device/device.h"
#include "formats/checkpoint.h"
#include "model/weight_use.h"

namespace hearth {

/// Rows of a tensor of the checkpoint [tensor_rows, columns]: all, or those from `first` on, `step` apart.
struct TensorRows {
  std::string name;
  uint32_t rows = 0;
  uint32_t first = 0;
  uint32_t tensor_rows = 0;  ///< 0 is as many as `rows`
  uint32_t step = 1;

  uint32_t of_tensor() const { return tensor_rows > 0 ? tensor_rows : rows; }
  bool is_all() const { return of_tensor() == rows; }
};

/// Whole tensors, by name.
using TensorBytes = std::map<std::string, std::vector<std::byte>, std::less<>>;

/// Declares a decoder's tensors on a device and remembers where their rows come from; without a device it only lists
/// its matrices and names. After an error everything else is skipped, so that a whole decoder can be declared before
/// the first look at `error`. Errors name the tensor: not_found, corrupt (shape), unsupported, out_of_memory.
class WeightPlan {
 public:
  struct Columns {
    uint32_t first = 0;
    uint32_t count = 0;
    uint32_t step = 1;
  };

  /// A part of a declared matrix, and the tensor it comes from.
  struct Source {
    TensorInfo tensor;
    MatrixId matrix;
    uint32_t part = 0;
    uint32_t first_row = 0;  ///< of the tensor
    uint32_t rows = 0;
    uint32_t row_step = 1;
    int layer = 0;
    std::optional<Columns> transposed = {};  ///< the rows of the tensor are the part's columns, these columns its rows
  };

  /// Lists only. `norm_offset` is added to every norm's weight.
  WeightPlan(const Checkpoint& checkpoint, float norm_offset) : checkpoint_(checkpoint), norm_offset_(norm_offset) {}

  /// Declares on the device. `vectors` has the bytes of all that vectors() of such a plan without a device names.
  WeightPlan(const Checkpoint& checkpoint, float norm_offset, Device& device, const TensorBytes& vectors)
      : checkpoint_(checkpoint), norm_offset_(norm_offset), device_(&device), bytes_(&vectors) {}

  /// A matrix whose parts are stacked; `layers` are those that use it.
  MatrixId matrix(MatrixRole role, const std::vector<TensorRows>& parts, uint32_t cols, std::vector<uint32_t> layers);

  /// The weights of all experts, [experts * rows, cols], from one tensor [experts, tensor_rows, cols], or from one for
  /// each expert where the name has `{e}` in place of its number.
  MatrixId experts(const TensorRows& of_each, uint32_t experts, uint32_t cols, uint32_t layer);
  /// The same where the tensor is [experts, cols, tensor_rows], unless it is mxfp4.
  MatrixId expert_columns(const TensorRows& of_each, uint32_t experts, uint32_t cols, uint32_t layer);
  /// [experts * rows] of a tensor [experts, tensor_rows]; empty names as for other biases.
  std::optional<VectorId> expert_bias(const TensorRows& of_each, uint32_t experts, uint32_t layer);

  /// Whether the checkpoint has this tensor, for names of which one or another is there.
  bool has(const std::string& name) const { return checkpoint_.find(name).has_value(); }

  /// A matrix for each head, [heads * rows, cols], from one tensor [heads, rows, cols].
  MatrixId heads(const std::string& name, uint32_t heads, uint32_t rows, uint32_t cols, uint32_t layer) {
    return bank(MatrixRole::heads, name, heads, rows, cols, layer);
  }
  /// The same from the rows that each head has of a tensor, each head's as they are or as its columns: then its matrix
  /// is [rows of the tensor, columns of a part]. What is in blocks becomes f16 there, as blocks lie along rows.
  MatrixId heads(const std::vector<TensorRows>& parts, uint32_t cols, uint32_t layer) {
    return matrix(MatrixRole::heads, parts, cols, {layer});
  }
  MatrixId transposed_heads(const std::vector<TensorRows>& parts, uint32_t tensor_cols, uint32_t layer);

  /// Empty names are vectors that the family does not have.
  std::optional<VectorId> norm(const std::string& name, uint32_t size, uint32_t layer);
  std::optional<VectorId> bias(const std::vector<TensorRows>& parts, uint32_t layer);
  /// A tensor of one of these shapes, dimensions of 1 apart, after `change`.
  using Change = std::function<void(std::vector<float>& values)>;
  VectorId vector(const std::string& name, const std::vector<std::vector<int64_t>>& shapes, uint32_t layer,
                  const Change& change = {});
  /// The weight of a norm that has none.
  VectorId ones(uint32_t size, uint32_t layer);
  /// A number that steers an operation; 0 without a device.
  float scalar(const std::string& name);

  /// What the weights are for that come next, unless their role says more.
  void begin(WeightKind kind) { kind_ = kind; }

  const std::optional<Error>& error() const { return error_; }
  const std::vector<Source>& sources() const { return sources_; }
  const std::vector<MatrixSpec>& matrices() const { return matrices_; }
  /// Those whose values are needed before the matrices' rows: vectors and scalars.
  const std::vector<TensorInfo>& vectors() const { return vectors_; }
  /// What was declared takes so much.
  const WeightUses& uses() const { return uses_; }
  /// All that were asked for.
  const std::set<std::string, std::less<>>& names() const { return names_; }

 private:
  /// Whether it is mxfp4, whose rows are outputs in all files.
  bool is_mxfp4(const std::string& name) const;

  MatrixId bank(MatrixRole role, const std::string& name, uint32_t count, uint32_t rows, uint32_t cols, uint32_t layer);
  MatrixId declare(MatrixSpec spec, std::vector<TensorInfo> tensors, const std::vector<TensorRows>& parts);
  /// Dimensions of 1 may be there or not.
  std::optional<TensorInfo> find(const std::string& name, const std::vector<int64_t>& shape);
  /// Fails for a shape that is not the configuration's.
  void refuse_shape(const TensorInfo& tensor, const std::vector<int64_t>& wanted);
  std::vector<float> values_of(const TensorInfo& tensor);
  std::optional<VectorId> upload(const std::string& name, const std::vector<float>& values, uint32_t layer);
  void note_use(const MatrixSpec& spec);

  const Checkpoint& checkpoint_;
  float norm_offset_;
  Device* device_ = nullptr;            ///< null where it only lists
  const TensorBytes* bytes_ = nullptr;  ///< the same
  std::optional<Error> error_;
  std::vector<MatrixSpec> matrices_;
  std::vector<Source> sources_;
  std::vector<TensorInfo> vectors_;
  std::set<std::string, std::less<>> names_;
  WeightKind kind_ = WeightKind::mixer;
  WeightUses uses_;
};

}  // namespace hearth
