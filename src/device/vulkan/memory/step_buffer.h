#pragma once

#include <algorithm>
#include <cstdint>
#include <span>

#include "device/device.h"
#include "device/vulkan/memory/cache.h"
#include "device/vulkan/memory/memory.h"

namespace hearth::vulkan {

/// How a step's sequences are cut into attention tiles.
struct StepTiles {
  uint32_t tokens = 1;  ///< of a tile at most
  uint32_t apart = 1;   ///< sequences with so many tokens at most have a tile for each
};

/// A step's input on the device, in memory that the host writes directly. Everything has a fixed place for the
/// program's limits but the block tables at the end, which may outgrow the buffer: then it moves, and what was recorded
/// with its address must be recorded again (`generation` tells).
class StepBuffer {
 public:
  Result<void> create(const Gpu& gpu, const ProgramLimits& limits, const Cache& cache);

  /// The bytes that create would allocate with so many blocks in each group of the cache.
  static uint64_t planned_bytes(const ProgramLimits& limits, std::span<const uint32_t> blocks_per_group);

  /// Copies a step in, cutting sequences into attention tiles; those of sequences whose tokens are apart stand first
  /// and count as singles. Rows of logits that are wanted whole come first on the device. `rows_before` is how many
  /// rows of logits the step in flight has, whose best candidates may be tokens of this one.
  Result<void> write(const StepInput& input, const StepTiles& most, uint32_t rows_before);

  /// Says that there are so many rows and leaves the rest as it is: enough for operations that look at nothing else.
  void write_counts(uint32_t tokens, uint32_t logit_rows);

  VkDeviceAddress header() const { return buffer_.address(); }
  VkDeviceAddress token_ids() const { return buffer_.address() + token_ids_; }
  VkDeviceAddress positions() const { return buffer_.address() + positions_; }
  VkDeviceAddress logit_rows() const { return buffer_.address() + logit_rows_; }
  VkDeviceAddress candidates() const { return buffer_.address() + candidates_; }
  VkDeviceAddress slots(uint32_t group) const { return buffer_.address() + slots_ + uint64_t{group} * tokens_ * 4; }
  VkDeviceAddress tiles(uint32_t group) const { return buffer_.address() + tiles_ + uint64_t{group} * tokens_ * 16; }
  /// For a group of states, in place of tiles: shared::StateRun [sequences], those behind the last without tokens.
  VkDeviceAddress runs(uint32_t group) const { return tiles(group); }
  uint32_t most_runs() const { return std::min(limits_.sequences, limits_.tokens); }
  /// And in place of slots which run each token belongs to.
  VkDeviceAddress run_numbers(uint32_t group) const { return slots(group); }
  VkDeviceAddress tables() const { return buffer_.address() + tables_; }
  uint32_t generation() const { return generation_; }

 private:
  void lay_out(const ProgramLimits& limits, size_t groups);
  Result<void> make_room(uint64_t table_entries);
  Result<void> check(const StepInput& input, uint32_t rows_before) const;
  Result<void> check_tables(const SequenceInput& sequence) const;
  void write_runs(const StepInput& input, uint32_t group);
  void write_logit_rows(const StepInput& input);

  const Gpu* gpu_ = nullptr;
  const Cache* cache_ = nullptr;
  ProgramLimits limits_;
  uint64_t tokens_ = 0;  // capacity
  uint64_t token_ids_ = 0, positions_ = 0, logit_rows_ = 0, candidates_ = 0, slots_ = 0, tiles_ = 0, tables_ = 0;
  uint32_t generation_ = 0;
  Buffer buffer_;
};

}  // namespace hearth::vulkan
