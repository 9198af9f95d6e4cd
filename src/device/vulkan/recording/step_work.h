#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "device/device.h"
#include "device/vulkan/memory/weights.h"
#include "device/vulkan/paths/tuning.h"

namespace hearth::vulkan {

/// What one submit does of a recording: the operations [first, end), or of a single one, part `slice` of `slices`.
struct StepPiece {
  size_t first = 0, end = 0;
  uint32_t slice = 0, slices = 1;

  bool begins() const { return first == 0 && slice == 0; }
  bool ends(const Recording& recording) const { return end == recording.operations.size() && slice + 1 == slices; }
};

/// How much arithmetic steps are, and where to cut them into submits that no driver takes for a hang (the Linux driver
/// of AMD's small GPUs ends one after ten seconds). A multiplication with its addition counts as two operations; what
/// is not a matmul or attention is left out.
class StepWork {
 public:
  /// The matrices of `recording` must be declared. A submit should be no more than `most_operations`, for which single
  /// operations are cut too where the device can.
  StepWork(const Recording& recording, const Weights& weights, double most_operations, bool cuts_launches);

  /// Floating-point operations of a step.
  double operations(const StepInput& input) const;

  /// Into how many submits a step is cut, a power of two so that there are few recordings.
  uint32_t pieces(const StepInput& input) const;

  /// Into how many slices the attention of a step's largest layer is cut, a power of two.
  uint32_t attention_slices(const StepInput& input) const;

  /// The pieces of a recording for so many rows, in order: of about equal work where whole operations are put together,
  /// so that there may be fewer than asked for; more where operations are cut. One piece is never cut.
  std::vector<StepPiece> cut(uint32_t pieces, uint32_t attention_slices, uint32_t tokens, uint32_t logit_rows) const;

 private:
  struct Matmul {
    double operations_per_row = 0;
    Rows rows = Rows::tokens;
  };
  /// Attention layers with one window, together.
  struct AttentionWork {
    uint32_t window = 0;
    double operations_per_key = 0;  ///< for each token and each key that it sees
    double most_of_a_layer = 0;     ///< of them
  };

  void add_attention(const Attention& op);
  double work(size_t operation, uint32_t tokens, uint32_t logit_rows) const;

  const double most_operations_;
  const bool cuts_launches_;
  std::vector<Matmul> matmuls_;     ///< by operation; 0 where it is none
  std::vector<bool> is_attention_;  ///< by operation
  std::vector<bool> joins_before_;  ///< by operation: norms, which stay with the product before them
  std::vector<AttentionWork> attention_;
};

/// The work that one submit may be.
double most_operations_of_submit(const Gpu& gpu, const Tuning& tuning);

}  // namespace hearth::vulkan
