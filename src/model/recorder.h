#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "device/operation.h"

namespace hearth {

/// A recording in the making.
class Recorder {
 public:
  /// The tensor of this name and width: a new one when it is first asked for, afterwards the same, so that layers share
  /// it. Its rows are those of tokens, or of logits once they are selected.
  TensorId tensor(std::string_view name, uint32_t width) {
    std::string whole = (rows_ == Rows::logits ? "selected_" : "") + std::string(name);
    for (uint32_t i = 0; i < recording_.tensors.size(); ++i) {
      if (recording_.tensors[i].name == whole && recording_.tensors[i].width == width) return {i};
    }
    recording_.tensors.push_back({std::move(whole), rows_, width});
    return {static_cast<uint32_t>(recording_.tensors.size() - 1)};
  }

  uint32_t width(TensorId tensor) const { return recording_.tensors[tensor.index].width; }

  void emit(Operation operation) { recording_.operations.push_back(std::move(operation)); }

  /// From here on only the rows whose logits are wanted go on; what is needed of them must be selected.
  void continue_with_logit_rows() { rows_ = Rows::logits; }
  TensorId select(TensorId in) {
    const ActivationSpec spec = recording_.tensors[in.index];
    const TensorId out = tensor(spec.name, spec.width);
    emit(SelectRows{.in = in, .out = out});
    return out;
  }

  Recording& recording() { return recording_; }

 private:
  Recording recording_;
  Rows rows_ = Rows::tokens;
};

}  // namespace hearth
