#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "formats/tensor_coding.h"

namespace hearth::codings {

/// Small floats with scales: value = scale * code, where blocks of rows and columns share a scale.
struct ScaledFloats {
  uint64_t rows = 0, columns = 0;
  bool is_e2m1 = false;  ///< two codes in a byte, the first in the lower half; else floats of 8 bits
  uint64_t block_rows = 1, block_columns = 1;

  enum class Global { none, multiplies, divides };  ///< the scales, by one float32 in a part of its own
  Global global = Global::none;
};

/// The stored tensors: codes, scales [rows / block_rows, columns / block_columns] rounded up, and, where there is one,
/// the global scale. Their sizes must be right.
std::unique_ptr<TensorCoding> make_scaled_floats(std::string name, const ScaledFloats& coding,
                                                 std::vector<StoredPart> parts, std::string description);

/// mxfp4 where it is that; else q8_0, which resolves a block's largest value to 1/254, or f32 for a vector or rows of
/// no whole blocks.
NumberFormat held_format(const ScaledFloats& coding, NumberFormat scales, bool is_vector);

}  // namespace hearth::codings
