#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "device/device.h"
#include "device/vulkan/tuning.h"
#include "device/vulkan/weights.h"

namespace hearth::vulkan {

/// How much arithmetic steps are, and where to cut them into submits that no driver takes for a hang (the Linux driver
/// of AMD's small GPUs ends one after ten seconds). A multiplication with its addition counts as two operations; what
/// is not a matmul or attention is left out.
class StepWork {
 public:
  /// The matrices of `recording` must be declared.
  StepWork(const Recording& recording, const Weights& weights);

  /// Floating-point operations of a step.
  double operations(const StepInput& input) const;

  /// Into how many submits a step is cut, a power of two so that there are few recordings.
  uint32_t pieces(const StepInput& input, double most_operations) const;

  /// The first operation of each piece of a recording for so many rows, and the end: pieces of about equal work, cut
  /// between operations. There may be fewer pieces than asked for.
  std::vector<size_t> cut(uint32_t pieces, uint32_t tokens, uint32_t logit_rows) const;

 private:
  struct Matmul {
    double operations_per_row = 0;
    Rows rows = Rows::tokens;
  };
  /// Attention layers with one window, together.
  struct AttentionWork {
    uint32_t window = 0;
    double operations_per_key = 0;  ///< for each token and each key that it sees
  };

  std::vector<Matmul> matmuls_;     ///< by operation; 0 where it is none
  std::vector<bool> joins_before_;  ///< by operation: norms, which stay with the product before them
  std::vector<AttentionWork> attention_;
};

}  // namespace hearth::vulkan
