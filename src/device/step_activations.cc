#include "device/step_activations.h"

#include <fmt/format.h>

namespace hearth {

Result<void> check_activations(const Recording& recording, const StepInput& input) {
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
