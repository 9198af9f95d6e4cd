#include "model/weight_plan.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "tensor/quantize.h"

namespace hearth {
namespace {

std::string shape_text(const std::vector<int64_t>& shape) { return fmt::format("[{}]", fmt::join(shape, ", ")); }

std::vector<int64_t> without_ones(std::vector<int64_t> shape) {
  std::erase(shape, 1);
  return shape;
}

}  // namespace

MatrixId WeightPlan::matrix(MatrixRole role, const std::vector<TensorRows>& parts, uint32_t cols,
                            std::vector<uint32_t> layers) {
  MatrixSpec spec{.role = role, .parts = {}, .cols = cols, .layers = std::move(layers)};
  std::vector<TensorInfo> tensors;
  for (const TensorRows& part : parts) {
    const uint32_t tensor_rows = part.tensor_rows > 0 ? part.tensor_rows : part.rows;
    const auto tensor = find(part.name, {tensor_rows, cols});
    if (!tensor) return {};
    spec.parts.push_back({tensor->name, tensor->format, part.rows});
    tensors.push_back(*tensor);
  }
  return declare(std::move(spec), std::move(tensors), parts);
}

MatrixId WeightPlan::declare(MatrixSpec spec, std::vector<TensorInfo> tensors, const std::vector<TensorRows>& parts) {
  matrices_.push_back(spec);
  if (device_ == nullptr) return {static_cast<uint32_t>(matrices_.size() - 1)};
  auto matrix = device_->declare_matrix(spec);
  if (!matrix) {
    error_ = matrix.error();
    return {};
  }
  const int layer = static_cast<int>(spec.layers.front());
  for (uint32_t i = 0; i < tensors.size(); ++i) {
    sources_.push_back({std::move(tensors[i]), *matrix, i, parts[i].first, parts[i].rows, layer});
  }
  return *matrix;
}

MatrixId WeightPlan::experts(const std::string& name, uint32_t experts, uint32_t rows, uint32_t cols, uint32_t layer) {
  constexpr std::string_view kExpert = "{e}";
  if (const size_t at = name.find(kExpert); at != name.npos) {
    std::vector<TensorRows> parts;
    for (uint32_t e = 0; e < experts; ++e) {
      std::string own = name;
      parts.push_back({own.replace(at, kExpert.size(), std::to_string(e)), rows});
    }
    return matrix(MatrixRole::experts, parts, cols, {layer});
  }
  const auto tensor = find(name, {experts, rows, cols});
  if (!tensor) return {};
  MatrixSpec spec{.role = MatrixRole::experts, .parts = {}, .cols = cols, .layers = {layer}};
  spec.parts.push_back({tensor->name, tensor->format, experts * rows});
  return declare(std::move(spec), {*tensor}, {{name, experts * rows}});
}

MatrixId WeightPlan::experts(const TensorRows& of_each, uint32_t experts, uint32_t cols, uint32_t layer) {
  const auto tensor = find(of_each.name, {experts, of_each.tensor_rows, cols});
  if (!tensor) return {};
  MatrixSpec spec{.role = MatrixRole::experts, .parts = {}, .cols = cols, .layers = {layer}};
  std::vector<TensorRows> parts;
  for (uint32_t e = 0; e < experts; ++e) {
    spec.parts.push_back({tensor->name, tensor->format, of_each.rows});
    parts.push_back({tensor->name, of_each.rows, e * of_each.tensor_rows + of_each.first});
  }
  return declare(std::move(spec), std::vector<TensorInfo>(experts, *tensor), parts);
}

std::optional<VectorId> WeightPlan::norm(const std::string& name, uint32_t size, uint32_t layer) {
  if (name.empty()) return {};
  const auto tensor = find(name, {size});
  if (!tensor) return VectorId{};
  std::vector<float> values = read_vector(*tensor);
  for (float& value : values) value += norm_offset_;
  return upload(name, values, layer);
}

std::optional<VectorId> WeightPlan::bias(const std::vector<TensorRows>& parts, uint32_t layer) {
  if (parts.front().name.empty()) return {};
  std::vector<float> values;
  for (const TensorRows& part : parts) {
    const auto tensor = find(part.name, {part.rows});
    if (!tensor) return VectorId{};
    const auto piece = read_vector(*tensor);
    values.insert(values.end(), piece.begin(), piece.end());
  }
  return upload(parts.front().name, values, layer);
}

VectorId WeightPlan::vector(const std::string& name, const std::vector<std::vector<int64_t>>& shapes, uint32_t layer,
                            const Change& change) {
  names_.insert(name);
  if (error_) return {};
  const auto tensor = checkpoint_.find(name);
  if (!tensor) {
    error_ = tensor.error();
    return {};
  }
  const auto matches = [&](const std::vector<int64_t>& shape) {
    return without_ones(tensor->shape) == without_ones(shape);
  };
  if (std::ranges::none_of(shapes, matches)) {
    refuse_shape(*tensor, shapes.front());
    return {};
  }
  std::vector<float> values = read_vector(*tensor);
  if (change && !values.empty()) change(values);
  return upload(name, values, layer).value_or(VectorId{});
}

float WeightPlan::scalar(const std::string& name) {
  const auto tensor = find(name, {1});
  if (!tensor || device_ == nullptr) return 0;
  return read_vector(*tensor).front();
}

std::optional<TensorInfo> WeightPlan::find(const std::string& name, const std::vector<int64_t>& shape) {
  names_.insert(name);
  if (error_) return {};
  auto tensor = checkpoint_.find(name);
  if (!tensor) {
    error_ = tensor.error();
    return {};
  }
  if (without_ones(tensor->shape) != without_ones(shape)) {
    refuse_shape(*tensor, shape);
    return {};
  }
  return *tensor;
}

void WeightPlan::refuse_shape(const TensorInfo& tensor, const std::vector<int64_t>& wanted) {
  error_ = Error{ErrorCode::corrupt,
                 fmt::format("{}: tensor {} is {}, but the configuration asks for {}", checkpoint_.path().string(),
                             tensor.name, shape_text(tensor.shape), shape_text(wanted)),
                 "the file and its configuration do not belong together"};
}

std::vector<float> WeightPlan::read_vector(const TensorInfo& tensor) {
  if (device_ == nullptr) return {};
  size_t size = 1;
  for (const int64_t dimension : tensor.shape) size *= static_cast<size_t>(dimension);
  std::vector<float> values(size);
  if (size % traits(tensor.format).block_values != 0) {
    error_ = Error{ErrorCode::unsupported, fmt::format("tensor {} is not whole blocks", tensor.name), ""};
    return values;
  }
  std::vector<std::byte> bytes(tensor.bytes);
  if (auto read = checkpoint_.read(tensor, 0, bytes); !read) {
    error_ = read.error();
    return values;
  }
  dequantize_row(tensor.format, bytes, values);
  return values;
}

std::optional<VectorId> WeightPlan::upload(const std::string& name, const std::vector<float>& values, uint32_t layer) {
  if (error_ || device_ == nullptr) return VectorId{};
  auto vector = device_->upload_vector(name, values, layer);
  if (vector) return *vector;
  error_ = vector.error();
  return VectorId{};
}

}  // namespace hearth
