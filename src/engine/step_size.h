#pragma once

#include <cstdint>

#include "engine/step_cost.h"

namespace hearth {

/// What the next step may be made of.
struct StepOutlook {
  StepLoad decoding;            ///< the rows of answers, all of which are in it
  uint32_t prompt_tokens = 0;   ///< of prompts, which wait to be computed
  uint32_t prompt_context = 0;  ///< tokens in the cache before the first of those
  bool is_alone = false;        ///< only one request is there
};

/// Chooses how many tokens of prompts a step takes: as many as make its tokens cheapest, while no answer's next token
/// comes later than the target. For one thread.
///
/// Beside answers a step lasts `target_seconds` at most, except that prompts get a third of the time where a step of
/// the answers alone takes most of it. While nobody's answer is being written, a step may last four times as long,
/// since a newcomer waits for one step only, or longer where smaller steps cost more than a tenth of the speed. Of
/// sizes that are equally good within 3 %, or 7 % beside answers, the smallest is taken. Without a target steps are
/// filled, and for a request that is alone, so that how its prompt is cut, and with it the last bits of its logits on a
/// GPU, does not depend on what was learned meanwhile.
class StepSize {
 public:
  /// `target_seconds` 0 sets no limit. A step has at most `most_tokens`.
  StepSize(uint32_t most_tokens, double target_seconds) : most_(most_tokens), target_(target_seconds) {}

  /// At least 1, at most outlook.prompt_tokens and what `most_tokens` leaves; 0 only where there is nothing.
  uint32_t prompt_tokens(const StepCost& cost, const StepOutlook& outlook) const;

  /// Of a prompt, in each step, whatever they cost: below it prompts would hardly get on.
  static constexpr uint32_t kLeast = 16;
  /// The same before anything is known of the device.
  static constexpr uint32_t kFirst = 32;

 private:
  double limit_seconds(const StepCost& cost, const StepOutlook& outlook) const;

  const uint32_t most_;
  const double target_;
};

}  // namespace hearth
