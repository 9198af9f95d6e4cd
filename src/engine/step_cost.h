#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace hearth {

/// What a step computes, as far as its time depends on it.
struct StepLoad {
  uint32_t tokens = 0;        ///< all of them
  uint32_t decoding = 0;      ///< those after which an answer may go on; each wants a row of logits
  double decode_context = 0;  ///< cached tokens that those read, in sum
  double prompt_context = 0;  ///< cached tokens that each token of a prompt sees, summed over these tokens

  void add_decoding(uint32_t context_tokens, uint32_t token_count = 1) {
    tokens += token_count;
    decoding += token_count;
    decode_context += token_count * (context_tokens + (token_count - 1) / 2.0);
  }
  void add_prompt(uint32_t context_tokens, uint32_t token_count) {
    tokens += token_count;
    prompt_context += token_count * (context_tokens + token_count / 2.0);
  }
};

/// What steps cost on a device: seconds for the load of a step. It knows nothing of the device but what this says its
/// steps will take (Program::expected_seconds), which may be nothing, and how long steps really took.
///
/// The time of a step is taken as f(tokens) + a * decoding + b * decode_context + c * prompt_context. f is kept for a
/// list of sizes, since on GPUs it climbs in stairs; a, b and c are fitted to how steps of one size differ from each
/// other. Between sizes that ran it is interpolated, in proportion to what the device expected where that is known.
/// What was learned of a size is forgotten when it has not been used for long, so that what disturbed it once does not
/// keep it away for ever. For one thread.
class StepCost {
 public:
  /// Seconds. Where no step as large has run and the device said nothing, `likely` is a guess: a line through two sizes
  /// that have run, or as much as one of them. `at_most` supposes then that a token costs no more in a large step than
  /// in a small one, and not less either.
  struct Estimate {
    double likely = 0;
    double at_most = 0;
  };

  /// For steps of up to `most_tokens`.
  explicit StepCost(uint32_t most_tokens);

  /// Sizes of steps, ascending, that are told apart; the last one is the largest step.
  const std::vector<uint32_t>& sizes() const { return sizes_; }

  /// What the device expects of steps of each of sizes(); an empty list is nothing.
  void expect(std::span<const double> seconds);

  /// A step took that long.
  void note(const StepLoad& load, double seconds);

  /// Nothing where nothing is known. `load.tokens` is at most the largest size.
  std::optional<Estimate> estimate(const StepLoad& load) const;

  /// Of a token of a prompt in the steps that are best for prompts; 0 where nothing is known.
  double seconds_per_prompt_token() const;

 private:
  static constexpr size_t kFactors = 3;
  using Factors = std::array<double, kFactors>;

  struct Size {
    double expected = 0;   ///< by the device; 0 where it has not said
    double seconds = 0;    ///< mean of the last steps
    Factors factors = {};  ///< theirs
    uint32_t steps = 0;
    uint64_t last_step = 0;
  };

  static Factors factors_of(const StepLoad& load);
  size_t index_of(uint32_t tokens) const;
  bool is_known(const Size& size) const;
  double weighted(const Factors& factors) const;
  double plain_seconds(const Size& size) const;
  std::optional<Estimate> plain_estimate(size_t index) const;
  Estimate beyond(size_t largest, size_t index) const;
  void learn_weights(const Factors& factors_off, double seconds_off, double share);

  std::vector<uint32_t> sizes_;
  std::vector<Size> known_;  ///< for each of sizes_
  uint64_t steps_ = 0;
  Factors weights_ = {};  ///< seconds for one of each factor
  // Means of products of how steps differ from the others of their size.
  std::array<Factors, kFactors> factor_products_ = {};
  Factors time_products_ = {};
};

}  // namespace hearth
