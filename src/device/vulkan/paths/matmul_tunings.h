#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "device/vulkan/memory/weights.h"
#include "device/vulkan/paths/tuning.h"

namespace hearth::vulkan {

/// What the best way to run a matmul depends on beside the count of tokens: its kind, its size and the encodings of its
/// rows, such as "gate_up 5376 to 21504 q4_0" or "linear 4096 to 5120 q4_k + 1024 q6_k". Empty for other operations.
std::string matmul_shape(const Recording& recording, const Weights& weights, const Operation& operation);

/// Where a matmul's tuning comes from.
enum class TuningOrigin : uint8_t {
  table,            ///< tuning_for
  forced,           ///< HEARTH_VULKAN_TUNING
  kept,             ///< measured by an earlier start
  measured,         ///< by this one
  batch_invariant,  ///< the table, and HEARTH_VULKAN_TUNING, as far as they leave sums in one order
};

std::string_view name_of(TuningOrigin origin);

/// A choice that was measured: what it changes in the table's tuning, and its time in seconds beside the table's.
struct MeasuredTuning {
  TuningChanges changes;
  double seconds = 0;
  double table_seconds = 0;
  TuningOrigin origin = TuningOrigin::measured;
};

/// By shape, then by the bucket of tokens.
using MeasuredTunings = std::map<std::string, std::map<uint32_t, MeasuredTuning>, std::less<>>;

/// Each matmul's tuning: what was measured for its shape and count of tokens, else the table's.
class MatmulTunings {
 public:
  /// `changes` are what was forced in `base`.
  MatmulTunings(const Tuning& base, const TuningChanges& changes = {});

  const Tuning& base() const { return base_; }

  /// For a matmul over `tokens` tokens. Beyond kLastOwnKernel the next lower count that was measured speaks for more.
  const Tuning& of(std::string_view shape, uint32_t tokens) const;
  TuningOrigin origin(std::string_view shape, uint32_t tokens) const;

  /// Of what other operations take from the base.
  TuningOrigin other_origin() const { return other_origin_; }

  /// Nothing where the choice is the base's.
  const MeasuredTuning* measured(std::string_view shape, uint32_t tokens) const;

  /// What was measured for the count of tokens that is nearest, if possible not larger; nothing where the shape has not
  /// been measured.
  struct Nearest {
    uint32_t tokens = 0;
    double seconds = 0;
    const Tuning* tuning = nullptr;
  };
  std::optional<Nearest> nearest(std::string_view shape, uint32_t tokens) const;

  /// Errors: invalid_argument for changes of fields that there are not; nothing is taken over then.
  Result<void> set(const MeasuredTunings& measured);

  /// Up to here each bucket of tokens has kernels or tiles of its own.
  static constexpr uint32_t kLastOwnKernel = 64;

 private:
  struct Choice {
    MeasuredTuning measured;
    Tuning tuning;
  };
  const Choice* find(std::string_view shape, uint32_t tokens) const;

  Tuning base_;
  TuningOrigin base_origin_ = TuningOrigin::table;
  TuningOrigin other_origin_ = TuningOrigin::table;
  std::map<std::string, std::map<uint32_t, Choice>, std::less<>> choices_;
};

}  // namespace hearth::vulkan
