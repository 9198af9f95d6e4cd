#include "device/vulkan/paths/tuning_targets.h"

#include <algorithm>

#include "device/operation_uses.h"
#include "device/vulkan/paths/matmul_tunings.h"

namespace hearth::vulkan {
namespace {

std::string few_group_of(const Recording& recording, const Operation& operation, const Tuning& table) {
  const auto* linear = std::get_if<Linear>(&operation);
  const bool is_short = linear != nullptr && recording.tensors[linear->out.index].width < table.short_rows;
  return (is_short ? "short_" : "") + std::string(operation_name(operation));
}

}  // namespace

std::vector<TuningTarget> tuning_targets(const Recording& recording, const Weights& weights,
                                         const ProgramLimits& limits, const Tuning& table) {
  std::vector<TuningTarget> targets;
  for (uint32_t i = 0; i < recording.operations.size(); ++i) {
    const std::string shape = matmul_shape(recording, weights, recording.operations[i]);
    if (shape.empty()) continue;
    const Product product = *product_of(recording.operations[i]);
    const ActivationSpec& in = recording.tensors[product.in.index];
    const uint32_t most = bucket_of(in.rows == Rows::logits ? limits.logit_rows : limits.tokens);
    auto target = std::ranges::find(targets, shape, &TuningTarget::shape);
    if (target == targets.end()) {
      const Matrix& matrix = weights.matrix(product.matrix);
      target = targets.insert(target, {.shape = shape,
                                       .few_group = few_group_of(recording, recording.operations[i], table),
                                       .operations = {},
                                       .rows = in.rows,
                                       .most_tokens = most,
                                       .bytes = matrix.bytes,
                                       .work = 2.0 * matrix.rows * in.width});
    }
    if (most > target->most_tokens) {
      target->operations.clear();
      target->rows = in.rows;
    }
    target->most_tokens = std::max(target->most_tokens, most);
    if (most == target->most_tokens) target->operations.push_back(i);
  }
  return targets;
}

}  // namespace hearth::vulkan
