#pragma once

#include <cstdint>
#include <vector>

#include "device/vulkan/paths/matmul_tunings.h"
#include "device/vulkan/paths/tuning_targets.h"

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
/// what won at the nearest counts of tokens that were measured; matrices filled in registers also in shapes that one
/// field after another does not lead to.
std::vector<TuningChanges> matmul_starts(const Tuning& table, const MeasuredTunings& measured,
                                         const TuningTarget& target, uint32_t tokens);

}  // namespace hearth::vulkan
