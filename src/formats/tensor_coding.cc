#include "formats/tensor_coding.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/printable.h"
#include "tensor/finite.h"

namespace hearth {
uint64_t TensorCoding::bytes() const {
  uint64_t sum = 0;
  for (const StoredPart& part : parts_) sum += part.bytes;
  return sum;
}

bool TensorCoding::reads_all() const {
  return std::ranges::all_of(parts_, [&](const StoredPart& part) { return part.values >= rows_ * columns_; });
}

TensorCoding::Range TensorCoding::range_of(size_t part, const CodedRows& rows) const {
  const StoredPart& p = parts_[part];
  const uint64_t first = rows.first * columns_ / p.values * p.unit_bytes;
  const uint64_t end = (rows.end() * columns_ + p.values - 1) / p.values * p.unit_bytes;
  return {.offset = first, .bytes = std::min(end, p.bytes) - first};
}

Result<void> TensorCoding::decode(const CodedRows& rows, std::span<const std::byte> bytes, NumberFormat format,
                                  std::span<std::byte> out) const {
  std::vector<PartBytes> parts;
  for (size_t i = 0; i < parts_.size(); ++i) {
    const Range range = range_of(i, rows);
    parts.push_back({bytes.first(range.bytes), range.offset / parts_[i].unit_bytes});
    bytes = bytes.subspan(range.bytes);
  }
  GridRow row;
  const size_t row_bytes = bytes_of(format, columns_);
  for (uint64_t i = 0; i < rows.count; ++i) {
    const uint64_t index = rows.first + i * rows.step;
    const auto made = out.subspan(i * row_bytes, row_bytes);
    if (copy_row(parts, index, format, made)) continue;
    row.resize(columns_);
    std::string_view problem = read_row(parts, index, row);
    if (problem.empty() && find_non_finite(NumberFormat::f32, std::as_bytes(std::span(row.values)))) {
      problem = "a scale that is infinite or not a number";
    }
    if (!problem.empty()) {
      return fail(ErrorCode::corrupt, fmt::format("tensor {}: row {} has {}", printable(name_), index, problem),
                  "the file is damaged; download it again");
    }
    pack_grid_row(row, format, made);
  }
  return {};
}

}  // namespace hearth
