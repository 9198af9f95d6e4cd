#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "tensor/number_format.h"

namespace hearth {

/// Numbers that somebody else owns: a format, a shape with the outermost dimension first (row-major), and the bytes,
/// without gaps. A matrix of weights is [outputs, inputs]: one row for each output.
struct TensorView {
  NumberFormat format = NumberFormat::f32;
  std::vector<int64_t> shape;
  std::span<const std::byte> bytes;

  /// Length of the innermost dimension; 1 for a scalar. A row always holds whole blocks.
  int64_t cols() const { return shape.empty() ? 1 : shape.back(); }

  /// Product of all dimensions but the innermost; 1 for a vector or a scalar.
  int64_t rows() const {
    int64_t product = 1;
    for (size_t i = 0; i + 1 < shape.size(); ++i) product *= shape[i];
    return product;
  }

  int64_t values() const { return rows() * cols(); }
  size_t row_bytes() const { return bytes_of(format, static_cast<size_t>(cols())); }

  /// The bytes of one row; 0 <= index < rows().
  std::span<const std::byte> row(int64_t index) const {
    return bytes.subspan(static_cast<size_t>(index) * row_bytes(), row_bytes());
  }
};

}  // namespace hearth
