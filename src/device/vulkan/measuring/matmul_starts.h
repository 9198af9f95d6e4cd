#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "device/vulkan/paths/matmul_tunings.h"

namespace hearth::vulkan {

/// A count of tokens and whether fields are varied there; elsewhere only what won at its neighbours is compared, for
/// there the border between paths must be found.
struct TunedCount {
  uint32_t tokens = 1;
  bool descend = false;
};

/// Every count that is measured, the most frequent steps first. Each is a bucket.
const std::vector<TunedCount>& tuned_counts();

/// What the search for a matmul's best tuning begins with: the choice of `table`, each path as the table has it, and
/// what won at the nearest counts of tokens that were measured.
std::vector<TuningChanges> matmul_starts(const Tuning& table, const MeasuredTunings& measured, std::string_view shape,
                                         uint32_t tokens);

}  // namespace hearth::vulkan
