#pragma once

#include <array>
#include <cstdint>
#include <numeric>
#include <string_view>
#include <vector>

namespace hearth {

/// What weights are for.
enum class WeightKind : uint8_t {
  embedding,
  mixer,         ///< attention, or what stands in its place
  feed_forward,  ///< but for experts
  experts,
  head,     ///< of its own
  vectors,  ///< norms and biases
};
inline constexpr std::array<std::string_view, 6> kWeightKinds = {"embedding", "attention", "feed-forward",
                                                                 "experts",   "head",      "norms and biases"};

/// Bytes of weights by kind.
struct WeightUse {
  std::array<uint64_t, kWeightKinds.size()> bytes{};

  uint64_t of(WeightKind kind) const { return bytes[static_cast<size_t>(kind)]; }
  void add(WeightKind kind, uint64_t more) { bytes[static_cast<size_t>(kind)] += more; }
  uint64_t total() const { return std::reduce(bytes.begin(), bytes.end()); }
};

/// In each of a device's memories (Device::memories).
using WeightUses = std::vector<WeightUse>;

}  // namespace hearth
