#include <algorithm>
#include <cmath>
#include <numeric>
#include <span>

#include "device/cpu/step_context.h"

namespace hearth::cpu {
namespace {

/// In place, in the order of the values.
void softmax(std::span<float> x) {
  const float highest = *std::ranges::max_element(x);
  float sum = 0;
  for (float& value : x) sum += value = std::exp(value - highest);
  for (float& value : x) value /= sum;
}

void squash(std::span<float> x) {
  for (float& value : x) value = 1 / (1 + std::exp(-value));
}

/// The place of the largest, of equals the first; it will not be taken again.
size_t take_largest(std::span<float> values) {
  const auto found = std::ranges::max_element(values);
  *found = -INFINITY;
  return static_cast<size_t>(found - values.begin());
}

class RouteOperation : public CpuOperation {
 public:
  explicit RouteOperation(const ChooseExperts& op) : op_(op) {}

  size_t scratch_floats() const override { return size_t{2} * op_.experts + op_.groups; }

  void run(const StepContext& step) override {
    const ActivationTensor& scores = step.activations.tensor(op_.scores);
    const ActivationTensor& out = step.activations.tensor(op_.out);
    step.for_rows(step.rows(scores),
                  [&](size_t row, float* scratch) { route(step, scores.row(row), out.row(row), scratch); });
  }

 private:
  void route(const StepContext& step, const float* scores, float* out, float* scratch) const {
    const std::span weights(scratch, op_.experts), merit(scratch + op_.experts, op_.experts);
    std::copy_n(scores, op_.experts, weights.begin());
    if (op_.kind == RouterKind::softmax) softmax(weights);
    if (op_.kind == RouterKind::sigmoid) squash(weights);
    std::ranges::copy(weights, merit.begin());
    if (op_.correction) {
      const std::vector<float>& correction = step.storage.vectors[op_.correction->index];
      for (size_t e = 0; e < merit.size(); ++e) merit[e] += correction[e];
    }
    if (op_.groups > 1) keep_groups(merit, std::span(scratch + size_t{2} * op_.experts, op_.groups));
    for (uint32_t r = 0; r < op_.chosen; ++r) {
      const size_t expert = take_largest(merit);
      out[r] = static_cast<float>(expert);
      out[op_.chosen + r] = weights[expert];
    }
    const std::span chosen(out + op_.chosen, op_.chosen);
    if (op_.kind == RouterKind::softmax_of_chosen) softmax(chosen);
    if (op_.kind == RouterKind::sigmoid_of_chosen) squash(chosen);
    const float sum = op_.normalise ? std::accumulate(chosen.begin(), chosen.end(), 1e-20F) : 1.0F;
    for (float& weight : chosen) weight *= op_.scale / sum;
    if (!op_.expert_scales) return;
    const std::vector<float>& scales = step.storage.vectors[op_.expert_scales->index];
    for (uint32_t r = 0; r < op_.chosen; ++r) chosen[r] *= scales[static_cast<size_t>(out[r])];
  }

  void keep_groups(std::span<float> merit, std::span<float> groups) const {
    const size_t size = merit.size() / op_.groups;
    for (size_t g = 0; g < groups.size(); ++g) {
      float first = -INFINITY, second = size > 1 ? -INFINITY : 0;
      for (const float value : merit.subspan(g * size, size)) {
        if (size > 1) second = std::max(second, std::min(first, value));
        first = std::max(first, value);
      }
      groups[g] = op_.group_raters > 1 ? first + second : first;
    }
    for (uint32_t taken = 0; taken < op_.chosen_groups; ++taken) take_largest(groups);
    for (size_t e = 0; e < merit.size(); ++e) {
      if (groups[e / size] != -INFINITY) merit[e] = -INFINITY;  // not taken
    }
  }

  ChooseExperts op_;
};

}  // namespace

std::unique_ptr<CpuOperation> make_route(const ChooseExperts& op) { return std::make_unique<RouteOperation>(op); }

}  // namespace hearth::cpu
