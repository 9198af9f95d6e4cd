#pragma once

#include <cstdint>
#include <vector>

#include "device/cpu/packed_matrix.h"
#include "device/operation.h"

namespace hearth::cpu {

/// The forms in which operations read an activation tensor.
struct TensorForms {
  bool values = false;        ///< float32 rows
  bool int8_panels = false;   ///< quantised, for integer weights
  bool fine_panels = false;   ///< quantised twice, for integer weights whose products are the model's result
  bool float_panels = false;  ///< rearranged, for float weights

  bool panels() const { return int8_panels || fine_panels || float_panels; }
  TensorForms& operator|=(const TensorForms& other);
};

/// What an operation reads (with the forms) and what it writes.
struct OperationTensors {
  struct Input {
    TensorId tensor;
    TensorForms forms;
  };
  std::vector<Input> inputs;
  std::vector<TensorId> outputs;
};

OperationTensors tensors_of(const Operation& operation, const std::vector<PackedMatrix>& matrices);

/// Whether an operation fills the panels of what it writes while it writes it; otherwise it writes values only, and the
/// panels are filled afterwards.
bool fills_panels(const Operation& operation);

/// For each of the recording's inputs the forms in which operations read it before it is written; values always, as
/// that is how it comes.
std::vector<TensorForms> forms_of_inputs(const Recording& recording, const std::vector<PackedMatrix>& matrices);

/// For each operation and each of its outputs: the forms in which operations read it before it is written again, and
/// values where the operation cannot do without.
std::vector<std::vector<TensorForms>> forms_to_write(const Recording& recording,
                                                     const std::vector<PackedMatrix>& matrices);

}  // namespace hearth::cpu
