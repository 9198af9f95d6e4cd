#include <algorithm>
#include <bit>
#include <cmath>

#include "device/operation_uses.h"
#include "device/vulkan/recording/step_recorder.h"

// Who puts activations into the order of lanes in which matrices are filled: whoever makes them, where it knows how
// large they can be, so that the matmul behind needs no launch of its own for it. All matmuls share one place for that,
// so it must be the next matmul that reads them. Only the recording and the bucket decide: the two operations may be
// recorded by different recorders, a step being cut into submits between them.
namespace hearth::vulkan {

void StepRecorder::add_order(const FragmentLayout& l, std::vector<uint32_t>& constants) {
  constants.insert(constants.end(), {l.n, l.k, l.classes, l.x_lanes, l.of_token, l.of_class, l.of_position});
}

/// That of the matmul's input, where all of it is multiplied so.
std::optional<FragmentLayout> StepRecorder::fragments_of_product(size_t operation) const {
  const Operation& op = c_.recording.operations[operation];
  const Product product = *product_of(op);
  const uint32_t tokens = rows(product.in);
  const Tuning& tuning = c_.matmuls.of(shape(op), tokens);
  const auto layout = fragments_for(c_.gpu.properties(), tuning, tokens);
  if (!layout || width(product.in) / 32 % layout->classes != 0) return {};  // nobody would fill up the last group
  const auto is_multiplied_so = [&](const WeightRun& run) {
    return form_for(tuning, run.layout, 1, tokens) == Form::fragments;
  };
  return std::ranges::all_of(c_.weights.matrix(product.matrix).runs, is_multiplied_so) ? layout : std::nullopt;
}

/// The last operation before `operation` that writes the tensor, with no matmul between.
std::optional<size_t> StepRecorder::maker_of(size_t operation, TensorId tensor) const {
  while (operation-- > 0) {
    const Operation& op = c_.recording.operations[operation];
    const TouchedTensors touched = touched_tensors(op);
    if (std::ranges::any_of(touched.written, [&](TensorId w) { return w.index == tensor.index; })) return operation;
    if (product_of(op)) return {};
  }
  return {};
}

bool StepRecorder::can_order(const Operation& operation, size_t index) const {
  if (const auto* norm = std::get_if<AddNorm>(&operation)) return norm->norm.has_value() && norm->part == 0;
  if (const auto* attention = std::get_if<Attention>(&operation)) {
    return bucket_.mix == Mix::single_tokens && makes_bytes(*attention);
  }
  // Gate and up know their largest value in the end, if a norm made them a place for it.
  if (!std::holds_alternative<GateUp>(operation) || !has_fragments(index)) return false;
  const auto maker = maker_of(index, product_of(operation)->in);
  return std::holds_alternative<AddNorm>(c_.recording.operations[*maker]);
}

std::optional<FragmentLayout> StepRecorder::fragments_beside(size_t operation) const {
  const auto& operations = c_.recording.operations;
  if (!can_order(operations[operation], operation)) return {};
  for (size_t next = operation + 1; next < operations.size(); ++next) {
    const auto product = product_of(operations[next]);
    if (!product) continue;
    if (maker_of(next, product->in) != operation) return {};
    return fragments_of_product(next);
  }
  return {};
}

bool StepRecorder::has_fragments(size_t operation) const {
  const auto maker = maker_of(operation, product_of(c_.recording.operations[operation])->in);
  return maker && fragments_beside(*maker).has_value();
}

/// Normalised values are at most the root of their number.
float StepRecorder::power_of_norm(const AddNorm& op) const {
  const float bias = op.norm_bias ? c_.weights.largest(*op.norm_bias) : 0.0F;
  const float largest = std::sqrt(static_cast<float>(width(op.residual))) * c_.weights.largest(*op.norm) + bias;
  const auto exponent = static_cast<int>(std::bit_cast<uint32_t>(largest) >> 23);  // as power_for of halves.glsl
  return std::bit_cast<float>(static_cast<uint32_t>(std::min(127 + 14 + 127 - exponent, 253)) << 23);
}

}  // namespace hearth::vulkan
