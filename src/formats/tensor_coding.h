#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "tensor/grid_row.h"
#include "tensor/number_format.h"

namespace hearth {

/// A stored tensor that is a part of a coded one: its codes, scales, zero points, ...
struct StoredPart {
  NumberFormat format = NumberFormat::u8;
  uint32_t file = 0;    ///< index for Checkpoint::file()
  uint64_t offset = 0;  ///< of the first byte in that file
  uint64_t bytes = 0;
  /// Of the coded tensor's values, counted through rows, each `values` share `unit_bytes` of this part; all of them
  /// share the whole part where nothing less will do.
  uint64_t values = 1;
  uint64_t unit_bytes = 1;
};

/// Bytes of a part from unit `first_unit` on.
struct PartBytes {
  std::span<const std::byte> bytes;
  uint64_t first_unit = 0;
};

/// Rows [first, first + step, ...] of a coded tensor.
struct CodedRows {
  uint64_t first = 0;
  uint64_t count = 0;
  uint64_t step = 1;

  uint64_t end() const { return first + (count - 1) * step + 1; }
};

/// How a tensor is made of several stored ones. Immutable and thread-safe.
class TensorCoding {
 public:
  virtual ~TensorCoding() = default;
  TensorCoding(const TensorCoding&) = delete;
  TensorCoding& operator=(const TensorCoding&) = delete;

  uint64_t rows() const { return rows_; }
  uint64_t columns() const { return columns_; }
  /// Codes first.
  const std::vector<StoredPart>& parts() const { return parts_; }
  /// Bytes of all parts.
  uint64_t bytes() const;
  /// For people: "int4, groups of 128".
  const std::string& description() const { return description_; }
  /// Whether any rows need all of all parts, which lie in another order.
  bool reads_all() const;

  /// Bytes of part `part` that rows need: offset in the part, and count.
  struct Range {
    uint64_t offset = 0, bytes = 0;
  };
  Range range_of(size_t part, const CodedRows& rows) const;

  /// Rows in `format`, one behind the other; `bytes` are the ranges of the parts for these rows, one behind the other.
  /// Errors: corrupt, for scales that are no numbers and codes that are none of the coding's. `out` has exactly the
  /// rows' bytes.
  Result<void> decode(const CodedRows& rows, std::span<const std::byte> bytes, NumberFormat format,
                      std::span<std::byte> out) const;

 protected:
  TensorCoding(std::string name, uint64_t rows, uint64_t columns, std::vector<StoredPart> parts,
               std::string description)
      : name_(std::move(name)),
        rows_(rows),
        columns_(columns),
        parts_(std::move(parts)),
        description_(std::move(description)) {}

  /// One row; `row` has the size and no grids. What is wrong with it, or nothing.
  virtual std::string_view read_row(std::span<const PartBytes> parts, uint64_t index, GridRow& row) const = 0;

  /// One row in `format`, where the coding has the same blocks; false where it is to be made of what read_row gives.
  virtual bool copy_row(std::span<const PartBytes> /*parts*/, uint64_t /*index*/, NumberFormat /*format*/,
                        std::span<std::byte> /*out*/) const {
    return false;
  }

 private:
  const std::string name_;
  const uint64_t rows_, columns_;
  const std::vector<StoredPart> parts_;
  const std::string description_;
};

}  // namespace hearth
