#include "model/weight_plan.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <span>

#include "formats/tensor_coding.h"
#include "tensor/quantize.h"
#include "tensor/recode.h"

namespace hearth {
namespace {

std::string shape_text(const std::vector<int64_t>& shape) { return fmt::format("[{}]", fmt::join(shape, ", ")); }

std::vector<int64_t> without_ones(std::vector<int64_t> shape) {
  std::erase(shape, 1);
  return shape;
}

/// Rows of each expert of a tensor [experts * tensor_rows, ..].
std::vector<TensorRows> rows_of_experts(const TensorRows& of_each, uint32_t experts) {
  std::vector<TensorRows> rows(experts, of_each);
  for (uint32_t e = 0; e < experts; ++e) rows[e].first += e * of_each.of_tensor();
  return rows;
}

WeightKind kind_of(MatrixRole role, WeightKind otherwise) {
  switch (role) {
    case MatrixRole::embedding:
      return WeightKind::embedding;
    case MatrixRole::head:
      return WeightKind::head;
    case MatrixRole::experts:
      return WeightKind::experts;
    case MatrixRole::stacked:
    case MatrixRole::heads:
    case MatrixRole::gate_up:
      return otherwise;
  }
  return otherwise;
}

/// Blocks lie along rows, so that columns have none.
NumberFormat format_of_columns(const TensorInfo& tensor) {
  return traits(tensor.format).block_values == 1 ? tensor.format : NumberFormat::f16;
}

}  // namespace

MatrixId WeightPlan::matrix(MatrixRole role, const std::vector<TensorRows>& parts, uint32_t cols,
                            std::vector<uint32_t> layers) {
  MatrixSpec spec{.role = role, .parts = {}, .cols = cols, .layers = std::move(layers)};
  std::vector<TensorInfo> tensors;
  for (const TensorRows& part : parts) {
    const auto tensor = find(part.name, {part.of_tensor(), cols});
    if (!tensor) return {};
    spec.parts.push_back({tensor->name, held_as(tensor->format), part.rows});
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
  note_use(spec);
  const int layer = static_cast<int>(spec.layers.front());
  for (uint32_t i = 0; i < tensors.size(); ++i) {
    sources_.push_back({std::move(tensors[i]), *matrix, i, parts[i].first, parts[i].rows, parts[i].step, layer});
  }
  return *matrix;
}

MatrixId WeightPlan::experts(const TensorRows& of_each, uint32_t experts, uint32_t cols, uint32_t layer) {
  constexpr std::string_view kExpert = "{e}";
  if (const size_t at = of_each.name.find(kExpert); at != of_each.name.npos) {
    std::vector<TensorRows> parts(experts, of_each);
    for (uint32_t e = 0; e < experts; ++e) parts[e].name.replace(at, kExpert.size(), std::to_string(e));
    return matrix(MatrixRole::experts, parts, cols, {layer});
  }
  if (of_each.is_all()) return bank(MatrixRole::experts, of_each.name, experts, of_each.rows, cols, layer);
  const auto tensor = find(of_each.name, {experts, of_each.tensor_rows, cols});
  if (!tensor) return {};
  MatrixSpec spec{.role = MatrixRole::experts, .parts = {}, .cols = cols, .layers = {layer}};
  spec.parts.assign(experts, {tensor->name, held_as(tensor->format), of_each.rows});
  return declare(std::move(spec), std::vector<TensorInfo>(experts, *tensor), rows_of_experts(of_each, experts));
}

MatrixId WeightPlan::expert_columns(const TensorRows& of_each, uint32_t experts, uint32_t cols, uint32_t layer) {
  if (is_mxfp4(of_each.name)) return this->experts(of_each, experts, cols, layer);
  const auto tensor = find(of_each.name, {experts, cols, of_each.of_tensor()});
  if (!tensor) return {};
  MatrixSpec spec{.role = MatrixRole::experts, .parts = {}, .cols = cols, .layers = {layer}};
  spec.parts.assign(experts, {tensor->name, format_of_columns(*tensor), of_each.rows});
  const std::vector<TensorRows> rows = rows_of_experts({of_each.name, cols}, experts);
  const size_t first = sources_.size();
  const MatrixId matrix = declare(std::move(spec), std::vector<TensorInfo>(experts, *tensor), rows);
  for (Source& source : std::span(sources_).subspan(first)) {
    source.transposed = {of_each.first, of_each.rows, of_each.step};
  }
  return matrix;
}

bool WeightPlan::is_mxfp4(const std::string& name) const {
  const auto tensor = checkpoint_.find(name);
  return tensor && tensor->format == NumberFormat::mxfp4;
}

MatrixId WeightPlan::bank(MatrixRole role, const std::string& name, uint32_t count, uint32_t rows, uint32_t cols,
                          uint32_t layer) {
  const auto tensor = find(name, {count, rows, cols});
  if (!tensor) return {};
  MatrixSpec spec{.role = role, .parts = {}, .cols = cols, .layers = {layer}};
  spec.parts.push_back({tensor->name, held_as(tensor->format), count * rows});
  return declare(std::move(spec), {*tensor}, {{name, count * rows}});
}

MatrixId WeightPlan::transposed_heads(const std::vector<TensorRows>& parts, uint32_t tensor_cols, uint32_t layer) {
  MatrixSpec spec{.role = MatrixRole::heads, .parts = {}, .cols = parts.front().rows, .layers = {layer}};
  std::vector<TensorInfo> tensors;
  for (const TensorRows& part : parts) {
    const auto tensor = find(part.name, {part.tensor_rows, tensor_cols});
    if (!tensor) return {};
    spec.parts.push_back({tensor->name, format_of_columns(*tensor), tensor_cols});
    tensors.push_back(*tensor);
  }
  const size_t first = sources_.size();
  const MatrixId matrix = declare(std::move(spec), std::move(tensors), parts);
  for (Source& source : std::span(sources_).subspan(first)) source.transposed = {.count = tensor_cols};
  return matrix;
}

std::optional<VectorId> WeightPlan::norm(const std::string& name, uint32_t size, uint32_t layer) {
  if (name.empty()) return {};
  const auto tensor = find(name, {size});
  if (!tensor) return VectorId{};
  std::vector<float> values = values_of(*tensor);
  for (float& value : values) value += norm_offset_;
  return upload(name, values, layer);
}

std::optional<VectorId> WeightPlan::bias(const std::vector<TensorRows>& parts, uint32_t layer) {
  if (parts.front().name.empty()) return {};
  std::vector<float> values;
  for (const TensorRows& part : parts) {
    const auto tensor = find(part.name, {part.rows});
    if (!tensor) return VectorId{};
    const auto piece = values_of(*tensor);
    values.insert(values.end(), piece.begin(), piece.end());
  }
  return upload(parts.front().name, values, layer);
}

std::optional<VectorId> WeightPlan::expert_bias(const TensorRows& of_each, uint32_t experts, uint32_t layer) {
  if (of_each.name.empty()) return {};
  const uint32_t all = of_each.of_tensor();
  return vector(of_each.name, {{experts, all}}, layer, [&](std::vector<float>& values) {
    std::vector<float> taken;
    for (uint32_t e = 0; e < experts; ++e) {
      for (uint32_t i = 0; i < of_each.rows; ++i) {
        taken.push_back(values[size_t{e} * all + of_each.first + size_t{i} * of_each.step]);
      }
    }
    values = std::move(taken);
  });
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
  std::vector<float> values = values_of(*tensor);
  if (change && !values.empty()) change(values);
  return upload(name, values, layer).value_or(VectorId{});
}

VectorId WeightPlan::ones(uint32_t size, uint32_t layer) {
  return upload("ones", std::vector<float>(size, 1.0F), layer).value_or(VectorId{});
}

float WeightPlan::scalar(const std::string& name) {
  const auto tensor = find(name, {1});
  if (!tensor) return 0;
  const auto values = values_of(*tensor);
  return values.empty() ? 0 : values.front();
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

std::vector<float> WeightPlan::values_of(const TensorInfo& tensor) {
  vectors_.push_back(tensor);
  if (device_ == nullptr) return {};
  size_t size = 1;
  for (const int64_t dimension : tensor.shape) size *= static_cast<size_t>(dimension);
  std::vector<float> values(size);
  const auto bytes = bytes_->find(tensor.name);
  if (bytes == bytes_->end()) {
    error_ = Error{ErrorCode::internal, fmt::format("tensor {} was not read before the plan", tensor.name), ""};
  } else if (tensor.coding != nullptr) {
    const auto decoded = tensor.coding->decode({.first = 0, .count = tensor.coding->rows()}, bytes->second,
                                               NumberFormat::f32, std::as_writable_bytes(std::span(values)));
    if (!decoded) error_ = decoded.error();
  } else if (size % traits(tensor.format).block_values != 0) {
    error_ = Error{ErrorCode::unsupported, fmt::format("tensor {} is not whole blocks", tensor.name), ""};
  } else {
    dequantize_row(tensor.format, bytes->second, values);
  }
  return values;
}

/// A matrix that layers in several memories use lies in each.
void WeightPlan::note_use(const MatrixSpec& spec) {
  std::set<uint32_t> noted;
  for (const uint32_t layer : spec.layers) {
    const uint32_t memory = device_->memory_of(layer);
    if (!noted.insert(memory).second) continue;
    MatrixSpec there = spec;
    std::erase_if(there.layers, [&](uint32_t other) { return device_->memory_of(other) != memory; });
    uses_.resize(std::max<size_t>(uses_.size(), memory + 1));
    uses_[memory].add(kind_of(spec.role, kind_), device_->declared_bytes(there).value_or(0));
  }
}

std::optional<VectorId> WeightPlan::upload(const std::string& name, const std::vector<float>& values, uint32_t layer) {
  if (error_ || device_ == nullptr) return VectorId{};
  const uint64_t before = device_->weight_bytes();
  auto vector = device_->upload_vector(name, values, layer);
  if (vector) {
    uses_.resize(std::max<size_t>(uses_.size(), device_->memory_of(layer) + 1));
    uses_[device_->memory_of(layer)].add(WeightKind::vectors, device_->weight_bytes() - before);
    return *vector;
  }
  error_ = vector.error();
  return VectorId{};
}

}  // namespace hearth
