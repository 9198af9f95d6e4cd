#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "tensor/number_format.h"

namespace hearth {

/// A row on its way from one encoding to another: its values, and for each 32 of them the grid on which they lie,
/// value = lowest + step * integer.
struct GridRow {
  static constexpr size_t kBlock = 32;

  std::vector<float> values;
  std::vector<float> steps;   ///< [values / 32]; 0 where no grid is known
  std::vector<float> lowest;  ///< [values / 32], where integers begin at 0 (q4_1); else unused

  void resize(size_t columns);
};

/// Whether pack_grid_row can make it: f32, bf16, q4_0, q4_1, q8_0.
bool can_hold_grids(NumberFormat format);

/// The row in `format`, whose block its values must fill. What lies on a grid that the format has keeps its integers,
/// so that nothing but the rounding of step and lowest to f16 (2^-11) is lost; q8_0 takes a step of 1/127 of a block's
/// largest value where its step is 0 or too small. The values must be finite. Thread-safe.
void pack_grid_row(const GridRow& row, NumberFormat format, std::span<std::byte> out);

}  // namespace hearth
