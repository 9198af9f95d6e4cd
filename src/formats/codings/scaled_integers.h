#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "formats/codings/integer_codes.h"
#include "formats/tensor_coding.h"

namespace hearth::codings {

/// Integers with scales: value = scale * (code - zero) + offset, where groups of a row's columns share all three.
struct ScaledIntegers {
  IntegerMatrix codes;
  int lowest_code = 0;  ///< of those that are stored
  int highest_code = 0;
  uint64_t group = 0;         ///< columns that share a scale
  bool is_flattened = false;  ///< groups go on across rows

  enum class ScaleOrder {
    one,
    by_rows,
    by_groups
  };  ///< [1]; [rows, groups], or [groups] where flattened; [groups, rows]
  ScaleOrder scale_order = ScaleOrder::by_rows;

  /// Where a group's zero comes from, `zero` added to it: nowhere, the number behind the only scale, or integers for
  /// each scale in a part of their own. Or that part has the offsets, in the scales' format and order.
  enum class Zeros { none, behind_scale, integers, offsets };
  Zeros zeros = Zeros::none;
  float zero = 0;
  IntegerMatrix zero_codes = {};
  std::optional<float> only_zero = {};  ///< what every zero has to be

  /// Whether a part I32 [columns] says which group a column is of: not, as it is anyway, or any (act-order).
  enum class ColumnGroups { in_order, checked, any };
  ColumnGroups column_groups = ColumnGroups::in_order;
};

/// The stored tensors: codes, scales, and, where the coding has them, zeros and groups of columns. Their sizes must be
/// right (parts_fit).
std::unique_ptr<TensorCoding> make_scaled_integers(std::string name, const ScaledIntegers& coding,
                                                   std::vector<StoredPart> parts, std::string description);

/// The smallest format of devices that has all values exactly, but for the rounding of scales; q8_0 where parts of a
/// block have scales of their own, f32 for a vector or rows of no whole blocks.
NumberFormat held_format(const ScaledIntegers& coding, bool is_vector);

}  // namespace hearth::codings
