#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <string_view>

#include "base/result.h"

namespace hearth::vulkan {

/// A matmul over few tokens: `subgroups` in a workgroup, `rows` for each subgroup at once, `split` subgroups sharing
/// rows along the row, `unroll` blocks of each row in flight for a lane.
struct FewTokensTuning {
  uint32_t subgroups = 4;
  uint32_t rows = 4;
  uint32_t split = 1;
  uint32_t unroll = 1;
};

/// The choices that a sweep varies; shaders take them as specialisation constants.
struct Tuning {
  uint32_t few_tokens_limit = 16;  ///< more tokens than this take the tiled matmul
  FewTokensTuning linear = {.subgroups = 4, .rows = 4, .split = 1, .unroll = 1};
  FewTokensTuning short_linear = {
      .subgroups = 8, .rows = 2, .split = 4, .unroll = 1};  ///< few rows, such as projections
  FewTokensTuning logits = {.subgroups = 4, .rows = 4, .split = 1, .unroll = 1};
  FewTokensTuning gate_up = {.subgroups = 8, .rows = 4, .split = 1, .unroll = 1};
  uint32_t short_rows = 16384;  ///< a Linear of fewer rows takes short_linear
  uint32_t attention_threads = 128;
  uint32_t attention_keys = 64;         ///< in flight in a workgroup
  uint32_t attention_split_keys = 64;   ///< least stretch of a context for one workgroup
  uint32_t attention_workgroups = 512;  ///< that splitting aims at
};

/// Changes `tuning` by "name=value,name=value" such as "gate_up.rows=8,attention_keys=32". Errors: invalid_argument.
Result<void> change_tuning(std::string_view changes, Tuning& tuning);

/// The first bucket that holds `count` tokens: each count to 8, even ones to 16, then powers of two.
constexpr uint32_t bucket_of(uint32_t count) {
  if (count <= 8) return count;
  if (count <= 16) return (count + 1) / 2 * 2;
  return std::bit_ceil(count);
}

}  // namespace hearth::vulkan
