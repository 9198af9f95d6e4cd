#pragma once

#include <cstdint>
#include <vector>

#include "base/result.h"
#include "device/cpu/activation_panel.h"
#include "device/cpu/kernels/kernels.h"
#include "device/cpu/memory.h"
#include "device/cpu/tensor_uses.h"
#include "device/device.h"

namespace hearth::cpu {

/// One activation tensor: float rows and panels, those that somebody reads. The memory belongs to ActivationMemory.
struct ActivationTensor {
  Rows rows = Rows::tokens;
  size_t width = 0;
  float* values = nullptr;
  std::byte* int8_panels = nullptr;
  std::byte* float_panels = nullptr;

  float* row(size_t index) const { return values + index * width; }
  size_t blocks() const { return (width + kBlockCols - 1) / kBlockCols; }

  Panels panels(bool is_integer, size_t row_count) const {
    return {is_integer ? int8_panels : float_panels, panel_width(row_count), blocks(), is_integer};
  }

  /// Where the wanted panels of one row are filled.
  PanelRow panel_row(const TensorForms& forms, size_t index, size_t row_count) const;

  static size_t panel_width(size_t row_count) { return row_count < kPanelTokens ? row_count : kPanelTokens; }
};

/// The activations of a program in one mapping; tensors that are never alive at the same time share memory.
class ActivationMemory {
 public:
  /// Errors: out_of_memory.
  static Result<ActivationMemory> create(const Recording& recording, const ProgramLimits& limits,
                                         const std::vector<PackedMatrix>& matrices);

  const ActivationTensor& tensor(TensorId id) const { return tensors_[id.index]; }
  size_t bytes() const { return memory_.size(); }

 private:
  std::vector<ActivationTensor> tensors_;
  Mapping memory_;
};

}  // namespace hearth::cpu
