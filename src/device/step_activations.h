#pragma once

#include "base/result.h"
#include "device/operation.h"
#include "device/step.h"

namespace hearth {

/// Rows of an activation tensor in a step.
inline size_t rows_of(const ActivationSpec& tensor, const StepInput& input) {
  return tensor.rows == Rows::tokens ? input.token_ids.size() : input.logit_rows.size();
}

/// Whether a step brings what the recording's inputs take. Errors: internal.
Result<void> check_activations(const Recording& recording, const StepInput& input);

}  // namespace hearth
