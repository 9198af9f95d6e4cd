#include <algorithm>
#include <cmath>
#include <numeric>

#include "device/reference/reference_operations.h"

namespace hearth::reference {
namespace {

std::vector<double> softmax(std::vector<double> x) {
  const double highest = *std::ranges::max_element(x);
  double sum = 0;
  for (double& value : x) sum += value = std::exp(value - highest);
  for (double& value : x) value /= sum;
  return x;
}

/// The numbers of the `count` largest, the largest first and of equals the lower.
std::vector<uint32_t> largest(const std::vector<double>& x, uint32_t count) {
  std::vector<uint32_t> order(x.size());
  std::iota(order.begin(), order.end(), 0U);
  std::ranges::stable_sort(order, std::greater{}, [&](uint32_t i) { return x[i]; });
  order.resize(count);
  return order;
}

/// Leaves out the experts of all groups but the best.
void keep_groups(const ChooseExperts& op, std::vector<double>& merit) {
  const size_t size = merit.size() / op.groups;
  std::vector<double> groups;
  for (uint32_t g = 0; g < op.groups; ++g) {
    const auto begin = merit.begin() + static_cast<ptrdiff_t>(g * size);
    std::vector<double> sorted(begin, begin + static_cast<ptrdiff_t>(size));
    std::ranges::sort(sorted, std::greater{});
    groups.push_back(sorted[0] + (op.group_raters > 1 && size > 1 ? sorted[1] : 0));
  }
  const auto kept = largest(groups, op.chosen_groups);
  for (uint32_t e = 0; e < merit.size(); ++e) {
    if (std::ranges::find(kept, e / size) == kept.end()) merit[e] = -INFINITY;
  }
}

/// Calls f(row of the batch, route, expert) for every route, rows in parallel.
template <class F>
void for_each_route(const Step& step, TensorId routes, uint32_t chosen, F&& f) {
  step.pool.parallel_for(step.rows(routes), [&](size_t t, unsigned) {
    for (uint32_t r = 0; r < chosen; ++r) {
      f(static_cast<uint32_t>(t), r, static_cast<uint32_t>(step.row(routes, static_cast<uint32_t>(t))[r]));
    }
  });
}

double bias_of(const Step& step, const std::optional<VectorId>& bias, uint32_t row) {
  return bias ? step.storage.vectors[bias->index][row] : 0;
}

}  // namespace

void run(const Step& step, const ChooseExperts& op) {
  for (uint32_t t = 0; t < step.rows(op.scores); ++t) {
    const auto row = step.row(op.scores, t);
    std::vector<double> weights(row.begin(), row.end());
    if (op.kind == RouterKind::softmax) weights = softmax(weights);
    if (op.kind == RouterKind::sigmoid) {
      for (double& weight : weights) weight = 1 / (1 + std::exp(-weight));
    }
    std::vector<double> merit = weights;
    for (size_t e = 0; op.correction && e < merit.size(); ++e) {
      merit[e] += step.storage.vectors[op.correction->index][e];
    }
    if (op.groups > 1) keep_groups(op, merit);
    const std::vector<uint32_t> experts = largest(merit, op.chosen);
    std::vector<double> chosen;
    for (const uint32_t e : experts) chosen.push_back(weights[e]);
    if (op.kind == RouterKind::softmax_of_chosen) chosen = softmax(chosen);
    if (op.kind == RouterKind::sigmoid_of_chosen) {
      for (double& weight : chosen) weight = 1 / (1 + std::exp(-weight));
    }
    const double sum = op.normalise ? std::accumulate(chosen.begin(), chosen.end(), 1e-20) : 1;
    const auto out = step.row(op.out, t);
    for (uint32_t r = 0; r < op.chosen; ++r) {
      out[r] = static_cast<float>(experts[r]);
      const float own = op.expert_scales ? step.storage.vectors[op.expert_scales->index][experts[r]] : 1.0F;
      out[op.chosen + r] = static_cast<float>(chosen[r] / sum * op.scale * own);
    }
  }
}

void run(const Step& step, const ExpertGateUp& op) {
  const Matrix& gate = step.storage.matrices[op.gate.index];
  const Matrix& up = step.storage.matrices[op.up.index];
  const uint32_t width = gate.rows() / op.experts;
  const double limit = op.limit > 0 ? op.limit : INFINITY;
  for_each_route(step, op.routes, op.chosen, [&](uint32_t t, uint32_t r, uint32_t expert) {
    std::vector<float> row(gate.cols());
    const auto in = step.row(op.in, t), out = step.row(op.out, t);
    const double weight = op.weighs_input ? step.row(op.routes, t)[op.chosen + r] : 1;
    for (uint32_t i = 0; i < width; ++i) {
      const uint32_t at = expert * width + i;
      gate.read_row(at, row);
      const double g = std::min(weight * dot(in, row) + bias_of(step, op.gate_bias, at), limit);
      up.read_row(at, row);
      const double u = std::clamp(weight * dot(in, row) + bias_of(step, op.up_bias, at), -limit, limit);
      out[static_cast<size_t>(r) * width + i] = static_cast<float>(activate(op.activation, g) * (u + op.up_offset));
    }
  });
}

void run(const Step& step, const ExpertLinear& op) {
  const Matrix& weight = step.storage.matrices[op.weight.index];
  const uint32_t width = weight.rows() / op.experts;
  for_each_route(step, op.routes, op.chosen, [&](uint32_t t, uint32_t r, uint32_t expert) {
    std::vector<float> row(weight.cols());
    const size_t first = op.same_input ? 0 : static_cast<size_t>(r) * weight.cols();
    const auto in = step.row(op.in, t).subspan(first, weight.cols());
    const auto out = step.row(op.out, t);
    for (uint32_t i = 0; i < width; ++i) {
      weight.read_row(expert * width + i, row);
      const double bias = bias_of(step, op.bias, expert * width + i);
      out[static_cast<size_t>(r) * width + i] = static_cast<float>(dot(in, row) + bias);
    }
  });
}

void run(const Step& step, const CombineExperts& op) {
  for (uint32_t t = 0; t < step.rows(op.out); ++t) {
    const auto out = step.row(op.out, t), in = step.row(op.in, t), routes = step.row(op.routes, t);
    for (size_t i = 0; i < out.size(); ++i) {
      double sum = op.shared ? step.row(*op.shared, t)[i] : 0;
      for (uint32_t r = 0; r < op.chosen; ++r) {
        const double weight = op.weighted ? routes[op.chosen + r] : 1;
        sum += weight * in[r * out.size() + i];
      }
      out[i] = static_cast<float>(sum);
    }
  }
}

}  // namespace hearth::reference
