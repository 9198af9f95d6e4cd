#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/result.h"
#include "base/thread_pool.h"
#include "device/step.h"

namespace hearth {

/// Makes a step's output of logits that lie in host memory. Keeps its memory between steps.
class StepResults {
 public:
  /// Fills `best` with a row's best candidates, as StepOutput::candidates says.
  using Search = void (*)(std::span<const float> logits, std::span<TokenLogit> best);

  /// `logits` [logit_rows, vocabulary] is moved about, so that rows wanted whole lie together.
  StepOutput collect(const StepInput& input, std::span<float> logits, size_t vocabulary, ThreadPool& pool,
                     Search search);

 private:
  std::vector<TokenLogit> candidates_;
};

/// Whether `candidates` and `logit_rows` fit each other. Errors: internal.
Result<void> check_candidates(const StepInput& input);

}  // namespace hearth
