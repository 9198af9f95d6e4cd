#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "base/result.h"
#include "model/model.h"

namespace hearth {

/// One sequence on a model without an engine: for `hearth logits`, evaluation and tests. Owns the device's cache, so
/// only one of these may exist for a model.
class SingleSequence {
 public:
  /// Room for `capacity` tokens, run in steps of at most `chunk`. Errors: out_of_memory, unsupported.
  static Result<SingleSequence> create(Model& model, uint32_t capacity, uint32_t chunk,
                                       const CompileOptions& compiling = {});

  /// Appends tokens; calls on_logits(index of the token within `tokens`, its logits [vocabulary]) for each in order.
  /// Errors: invalid_argument (an id outside the vocabulary, or no room), and what the device says.
  Result<void> append(std::span<const int32_t> tokens,
                      const std::function<void(size_t, std::span<const float>)>& on_logits);

  uint32_t length() const { return length_; }

 private:
  SingleSequence() = default;
  Result<void> step(std::span<const int32_t> tokens, size_t first,
                    const std::function<void(size_t, std::span<const float>)>& on_logits);

  uint32_t vocabulary_ = 0;
  uint32_t capacity_ = 0;
  uint32_t chunk_ = 0;
  uint32_t length_ = 0;
  std::unique_ptr<Program> program_;
  std::vector<int32_t> blocks_;                         // 0, 1, 2, ...: the same in every group of positions
  std::array<int32_t, 2> states_ = {-1, 0};             // in every group of states
  std::vector<bool> keeps_states_;                      // of each group
  std::vector<std::span<const int32_t>> block_tables_;  // views of these, of a step
};

}  // namespace hearth
