#include "device/vulkan/measuring/matmul_trial.h"

#include <cmath>
#include <cstring>

namespace hearth::vulkan {
namespace {

constexpr size_t kBlock = 32;
/// Of the values' root mean square; float32 sums of tens of thousands of products stay a hundred times below.
constexpr double kTolerance = 1e-2;

}  // namespace

MatmulResult result_of_floats(std::span<const float> floats) { return {{floats.begin(), floats.end()}, {}}; }

MatmulResult result_of_bytes(std::span<const int8_t> bytes, std::span<const float> pairs) {
  MatmulResult result;
  for (size_t i = 0; i < bytes.size(); ++i) result.values.push_back(bytes[i] * pairs[i / kBlock * 2]);
  for (size_t i = 0; i < pairs.size(); i += 2) result.steps.push_back(pairs[i]);
  return result;
}

bool agree(const MatmulResult& a, const MatmulResult& b) {
  if (a.values.size() != b.values.size() || a.steps.size() != b.steps.size()) return false;
  double squares = 0;
  for (const float value : a.values) squares += double{value} * value;
  const double allowed = kTolerance * std::sqrt(squares / static_cast<double>(a.values.size()));
  for (size_t i = 0; i < a.values.size(); ++i) {
    if (std::memcmp(&a.values[i], &b.values[i], sizeof(float)) == 0) continue;  // NaN too
    const double step = a.steps.empty() ? 0 : std::max(std::abs(a.steps[i / kBlock]), std::abs(b.steps[i / kBlock]));
    const double difference = std::abs(double{a.values[i]} - b.values[i]);
    if (!(difference <= allowed + step)) return false;
  }
  return true;
}

}  // namespace hearth::vulkan
