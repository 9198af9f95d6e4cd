#include "formats/tensor_coding.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>

#include "base/printable.h"

namespace hearth {
namespace {

/// Without a branch for each, so that it becomes vector code.
bool are_finite(std::span<const float> values) {
  constexpr int32_t kInfinity = 0x7f800000;
  int32_t largest = 0;  // bits of numbers without a sign are in their order
  for (const float value : values) {
    const int32_t bits = std::bit_cast<int32_t>(value) & 0x7fffffff;
    largest = bits > largest ? bits : largest;
  }
  return largest < kInfinity;
}

}  // namespace

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
    if (problem.empty() && !are_finite(row.values)) {
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
