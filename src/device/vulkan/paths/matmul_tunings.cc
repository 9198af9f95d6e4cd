#include "device/vulkan/paths/matmul_tunings.h"

#include <fmt/format.h>

#include <array>

#include "device/operation_uses.h"

namespace hearth::vulkan {

std::string matmul_shape(const Recording& recording, const Weights& weights, const Operation& operation) {
  const auto product = product_of(operation);
  if (!product) return {};
  std::string shape = fmt::format("{} {} to", operation_name(operation), recording.tensors[product->in.index].width);
  const Matrix& matrix = weights.matrix(product->matrix);
  // Up is as gate is, and the result as wide as one of them.
  const size_t count = matrix.spec.role == MatrixRole::gate_up ? 1 : matrix.runs.size();
  for (size_t i = 0; i < count; ++i) {
    shape +=
        fmt::format("{} {} {}", i == 0 ? "" : " +", matrix.runs[i].layout.rows, traits(matrix.runs[i].format).name);
  }
  return shape;
}

std::string_view name_of(TuningOrigin origin) {
  constexpr std::array<std::string_view, 5> kNames = {"table", "forced", "kept", "measured", "batch-invariant"};
  return kNames[static_cast<size_t>(origin)];
}

MatmulTunings::MatmulTunings(const Tuning& base, const TuningChanges& changes) : base_(base) {
  if (changes_matmuls(changes)) base_origin_ = TuningOrigin::forced;
  if (changes_others(changes)) other_origin_ = TuningOrigin::forced;
  if (base.batch_invariant != 0) base_origin_ = other_origin_ = TuningOrigin::batch_invariant;
}

const MatmulTunings::Choice* MatmulTunings::find(std::string_view shape, uint32_t tokens) const {
  const auto of_shape = choices_.find(shape);
  if (of_shape == choices_.end()) return nullptr;
  const uint32_t bucket = bucket_of(tokens);
  const auto& by_tokens = of_shape->second;
  auto found = by_tokens.upper_bound(bucket);
  if (found == by_tokens.begin()) return nullptr;
  --found;
  if (found->first != bucket && found->first <= kLastOwnKernel) return nullptr;
  return &found->second;
}

const Tuning& MatmulTunings::of(std::string_view shape, uint32_t tokens) const {
  const Choice* choice = find(shape, tokens);
  return choice == nullptr ? base_ : choice->tuning;
}

TuningOrigin MatmulTunings::origin(std::string_view shape, uint32_t tokens) const {
  const Choice* choice = find(shape, tokens);
  return choice == nullptr ? base_origin_ : choice->measured.origin;
}

const MeasuredTuning* MatmulTunings::measured(std::string_view shape, uint32_t tokens) const {
  const Choice* choice = find(shape, tokens);
  return choice == nullptr ? nullptr : &choice->measured;
}

std::optional<MatmulTunings::Nearest> MatmulTunings::nearest(std::string_view shape, uint32_t tokens) const {
  const auto of_shape = choices_.find(shape);
  if (of_shape == choices_.end()) return {};
  auto found = of_shape->second.upper_bound(bucket_of(tokens));
  if (found != of_shape->second.begin()) --found;
  return Nearest{found->first, found->second.measured.seconds, &found->second.tuning};
}

Result<void> MatmulTunings::set(const MeasuredTunings& measured) {
  decltype(choices_) choices;
  for (const auto& [shape, by_tokens] : measured) {
    for (const auto& [tokens, one] : by_tokens) {
      Choice choice = {one, base_};
      if (auto changed = change_tuning(one.changes, choice.tuning); !changed) return changed;
      choices[shape].emplace(tokens, std::move(choice));
    }
  }
  choices_ = std::move(choices);
  return {};
}

}  // namespace hearth::vulkan
