#pragma once

#include <fmt/format.h>

#include "base/result.h"
#include "device/operation.h"
#include "device/step.h"

// All of it inline, so that the Vulkan device, a library of its own below this folder's, can use it.
namespace hearth {

/// Rows of an activation tensor in a step.
inline size_t rows_of(const ActivationSpec& tensor, const StepInput& input) {
  return tensor.rows == Rows::tokens ? input.token_ids.size() : input.logit_rows.size();
}

/// Whether a step brings what the recording's inputs take. Errors: internal.
inline Result<void> check_activations(const Recording& recording, const StepInput& input) {
  if (input.activations.size() != recording.inputs.size()) {
    return fail(ErrorCode::internal, fmt::format("a step brings {} activation tensors where {} are taken",
                                                 input.activations.size(), recording.inputs.size()));
  }
  for (size_t i = 0; i < recording.inputs.size(); ++i) {
    const ActivationSpec& tensor = recording.tensors[recording.inputs[i].index];
    const size_t values = rows_of(tensor, input) * tensor.width;
    if (input.activations[i].size() == values) continue;
    return fail(ErrorCode::internal, fmt::format("a step brings {} values of {} where {} are taken",
                                                 input.activations[i].size(), tensor.name, values));
  }
  return {};
}

}  // namespace hearth
