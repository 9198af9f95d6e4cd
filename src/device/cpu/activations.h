#pragma once

#include <algorithm>
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
  std::byte* fine_panels = nullptr;
  std::byte* float_panels = nullptr;

  float* row(size_t index) const { return values + index * width; }
  size_t blocks() const { return (width + kBlockCols - 1) / kBlockCols; }

  Panels panels(PanelKind kind, size_t row_count) const {
    const size_t tokens = kind == PanelKind::fine ? 2 * row_count : row_count;
    std::byte* const base = kind == PanelKind::int8   ? int8_panels
                            : kind == PanelKind::fine ? fine_panels
                                                      : float_panels;
    return {base, std::min<size_t>(kPanelTokens, tokens), blocks(), kind != PanelKind::floats};
  }

  /// Where the wanted panels of one row are filled.
  PanelRow panel_row(const TensorForms& forms, size_t index, size_t row_count) const;
};

/// The activations of a program in one mapping; tensors that are never alive at the same time share memory.
class ActivationMemory {
 public:
  /// Errors: out_of_memory.
  static Result<ActivationMemory> create(const Recording& recording, const ProgramLimits& limits,
                                         const std::vector<PackedMatrix>& matrices);

  /// What create would reserve.
  static size_t planned_bytes(const Recording& recording, const ProgramLimits& limits,
                              const std::vector<PackedMatrix>& matrices);

  const ActivationTensor& tensor(TensorId id) const { return tensors_[id.index]; }
  size_t bytes() const { return memory_.size(); }

 private:
  std::vector<ActivationTensor> tensors_;
  Mapping memory_;
};

}  // namespace hearth::cpu
