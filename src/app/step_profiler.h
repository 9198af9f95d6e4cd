#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "device/operation_cost.h"
#include "model/model.h"

namespace hearth::app {

/// All operations of a step that have one name.
struct ProfiledOperation {
  std::string name;
  uint32_t count = 0;
  double seconds = 0;  ///< of all of them
  uint64_t bytes = 0;  ///< likewise; what they must read (device/operation_cost.h)
};

/// Where the time of one kind of step goes: medians of the repeats, of each operation and of what lies between them, so
/// that a repeat in which another process took a core spoils no more than itself.
struct ProfiledStep {
  uint32_t sequences = 0;
  uint32_t tokens = 0;                        ///< of each sequence in the step
  uint32_t context = 0;                       ///< tokens in each sequence's cache before the step
  double seconds = 0;                         ///< the sum of those medians
  std::vector<ProfiledOperation> operations;  ///< longest first
};

/// Runs steps on a model without an engine, with random tokens. Owns the device's cache, as an engine would.
class StepProfiler {
 public:
  struct Limits {
    uint32_t sequences = 1;
    uint32_t context = 0;
    uint32_t prompt_tokens = 1;
  };

  /// Errors: invalid_argument (longer than the model's context), out_of_memory, unsupported.
  static Result<StepProfiler> create(Model& model, const Limits& limits);

  /// A step in which each of `sequences` decodes one token behind `context`.
  Result<ProfiledStep> decode(uint32_t sequences, uint32_t context, uint32_t repeat);

  /// Seconds of such steps run as they are, without a look at their operations, over and over for `seconds` or twice;
  /// the median of the later half, when a GPU's clock has come to what it keeps under such a load.
  Result<double> decode_seconds(uint32_t sequences, uint32_t context, double seconds);
  Result<double> prompt_seconds(uint32_t tokens, double seconds) { return run_seconds({1, tokens, 0}, seconds); }

  /// A step that reads a prompt of `tokens`; logits of its last.
  Result<ProfiledStep> prompt(uint32_t tokens, uint32_t repeat);

 private:
  struct Shape {
    uint32_t sequences, tokens, context;
  };

  StepProfiler(Model& model, const Limits& limits);
  Result<void> fill_context(uint32_t sequences, uint32_t context);
  Result<ProfiledStep> measure(const Shape& shape, uint32_t repeat);
  Result<double> run_seconds(const Shape& shape, double enough);
  StepInput input(const Shape& shape);
  std::vector<ProfiledOperation> add_up(const std::vector<StepProfile>& profiles, const StepInput& input) const;

  Model* model_;
  uint32_t chunk_tokens_;
  std::unique_ptr<Program> program_;
  std::vector<std::vector<int32_t>> blocks_;                         // [sequence], the same in every group of positions
  std::vector<std::array<int32_t, 2>> states_;                       // [sequence], likewise of states
  std::vector<std::vector<std::span<const int32_t>>> block_tables_;  // [sequence][group]

  // Of the step that is being run.
  std::vector<int32_t> token_ids_;
  std::vector<SequenceInput> sequences_;
  std::vector<uint32_t> logit_rows_;
  std::vector<uint32_t> candidates_;  // one for each row: greedy decoding
};

}  // namespace hearth::app
