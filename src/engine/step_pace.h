#pragma once

#include <cstdint>

namespace hearth {

/// How many tokens of prompts a step may take while answers are being written, so that these do not wait long for their
/// next token: a step with prompts in it shall take at most `stretch` times as long as one without. Prompts then still
/// get (stretch - 1) / stretch of the time.
///
/// It knows nothing of the device but how long steps took, and fits time = base + slope * prompt tokens to them. The
/// slope is the device's and is learned where steps differ in their tokens; the base follows what runs just now.
/// For one thread.
class StepPace {
 public:
  StepPace(uint32_t most_prompt_tokens, double stretch) : most_(most_prompt_tokens), stretch_(stretch) {}

  /// A step with that many tokens of prompts, perhaps none, took that long.
  void note(uint32_t prompt_tokens, double seconds);

  /// From kLeast (or less, where `most_prompt_tokens` is less) to most_prompt_tokens.
  uint32_t prompt_tokens() const;

  /// Below it prompts would cost more in reading weights again than answers gain.
  static constexpr uint32_t kLeast = 16;

 private:
  const uint32_t most_;
  const double stretch_;
  // Means of the last steps: of tokens, seconds, and their products.
  double tokens_ = 0, seconds_ = 0, tokens_squared_ = 0, tokens_seconds_ = 0;
  double slope_ = 0;  ///< seconds a token; 0 while it is unknown
  bool empty_ = true;
};

}  // namespace hearth
