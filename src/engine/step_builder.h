#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "device/step.h"
#include "engine/scheduler.h"

namespace hearth {

/// Writes a scheduled step as the flat batch that programs run. Keeps its memory between steps.
class StepBuilder {
 public:
  /// Valid until the next call, and while the sequences' tables do not change.
  const StepInput& build(std::span<const ScheduledSequence> step);

 private:
  std::vector<int32_t> token_ids_;
  std::vector<SequenceInput> sequences_;
  std::vector<uint32_t> logit_rows_;
  std::vector<uint32_t> candidates_;
  std::vector<std::span<const int32_t>> block_tables_;  ///< [sequences, groups]
  StepInput input_;
};

}  // namespace hearth
