#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "device/vulkan/rdna3/compiled.h"
#include "device/vulkan/rdna3/family.h"
#include "device/vulkan/recording/program.h"

namespace hearth::vulkan {

/// A matrix of a decoder, as one operation multiplies with it.
struct MatmulCase {
  enum class Kind : uint8_t { linear, gate_up, logits };
  std::string name;
  Kind kind = Kind::linear;
  NumberFormat format = NumberFormat::q4_0;
  std::vector<uint32_t> parts;  ///< rows
  uint32_t cols = 0;
};

/// What a matmul costs by the compiler's word, in seconds; each as if the others cost nothing.
struct Prediction {
  double bus = 0;              ///< its weights over the memory bus
  double arithmetic = 0;       ///< instructions of the vector units
  double shared = 0;           ///< shared memory's traffic
  double matrix_peak = 0;      ///< its multiply-adds at the matrix units' peak; with halves of activations, both
  double in_flight_bytes = 0;  ///< that all subgroups which fit on the device ask of memory in one trip of their loop

  double arithmetic_share_of_bus() const { return arithmetic / bus; }
  /// Of the matrix units' peak: when all three overlap, and when none does.
  double best_share_of_peak() const { return matrix_peak / std::max({arithmetic, shared, bus}); }
  double worst_share_of_peak() const { return matrix_peak / (arithmetic + shared + bus); }
};

/// Records the operation for `tokens` tokens, compiles its pipelines, which come into `compiled`, and predicts.
Result<Prediction> predict(Gpu& gpu, Pipelines& pipelines, CompiledPipelines& compiled, const Family& family,
                           const MatmulCase& matmul, uint32_t tokens);

}  // namespace hearth::vulkan
