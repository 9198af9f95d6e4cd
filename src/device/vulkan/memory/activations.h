#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "device/device.h"
#include "device/vulkan/memory/memory.h"
#include "device/vulkan/memory/weights.h"

namespace hearth::vulkan {

/// Where one activation tensor lies: float32 rows, and, where a matmul over quantised weights reads it, its rows as
/// bytes with a pair of (scale, scaled sum) for each block of 32.
struct ActivationPlace {
  bool needs_floats = false;
  bool needs_bytes = false;
  uint64_t floats = 0, quants = 0, pairs = 0;  ///< offsets in the arena
  uint64_t end = 0;                            ///< behind the last of them
};

/// Where the input of the matmul at hand lies as halves (shaders/layout.h), sums of two or made from bytes: made by the
/// matmul itself, so that all share one place of each kind.
struct HalvesPlace {
  uint64_t halves = 0, scales = 0, largest = 0, end = 0;  ///< offsets in the arena; the last but one for quantize.comp
};

/// Likewise as floats where rows are not whole blocks.
struct PaddedPlace {
  uint64_t floats = 0, end = 0;  ///< offsets in the arena
};

/// The activation arena: tensors whose lives do not overlap share memory.
class Activations {
 public:
  /// `token_rows` and `logit_rows` are the most rows that a tensor of each kind can have.
  Result<void> create(const Gpu& gpu, const Recording& recording, std::span<const Matrix> matrices, uint32_t token_rows,
                      uint32_t logit_rows);

  /// The bytes that create would allocate.
  static Result<uint64_t> planned_bytes(const GpuProperties& gpu, const Recording& recording,
                                        std::span<const Matrix> matrices, uint32_t token_rows, uint32_t logit_rows);

  const ActivationPlace& place(TensorId tensor) const { return places_[tensor.index]; }
  const HalvesPlace& split() const { return split_; }
  const HalvesPlace& halved_bytes() const { return halved_bytes_; }
  /// Where the input of the matmul at hand lies in float32 with rows widened to whole blocks.
  const PaddedPlace& padded() const { return padded_; }
  VkDeviceAddress address() const { return buffer_.address(); }
  const Buffer& buffer() const { return buffer_; }

 private:
  /// Finds all places. Returns the bytes that they take.
  Result<uint64_t> lay_out(const GpuProperties& gpu, const Recording& recording, std::span<const Matrix> matrices,
                           uint32_t token_rows, uint32_t logit_rows);

  std::vector<ActivationPlace> places_;
  HalvesPlace split_, halved_bytes_;
  PaddedPlace padded_;
  Buffer buffer_;
};

}  // namespace hearth::vulkan
