#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/result.h"
#include "engine/engine.h"
#include "model/model.h"

namespace hearth::app {

/// One measured prompt: seconds from submit to the first token of `tokens` random ids.
struct PromptMeasurement {
  double first_token_seconds = 0;
};

/// `sequences` conversations decoding side by side, between the moment when the last of them had its first token and
/// the moment when the first one ended.
struct DecodeMeasurement {
  uint64_t tokens = 0;  ///< made in that time, of all sequences
  double seconds = 0;
  double mean_context = 0;  ///< tokens in a sequence's cache, averaged over that time
};

/// Tokens that a sequence holds at most when `sequences` of a context decode `tokens` each: those that start first must
/// still be decoding when the last one has its first token.
uint32_t tokens_side_by_side(uint32_t sequences, uint32_t context, uint32_t tokens, const EngineOptions& options);

/// Cache in which one sequence of `context_length` tokens and `sequences` of `tokens_each` fit at once: one that waits
/// for another's blocks would be measured as slow.
uint64_t cache_bytes_side_by_side(std::span<const CacheGroup> groups, uint32_t context_length, uint32_t sequences,
                                  uint32_t tokens_each);

/// Runs requests of random token ids (fixed seed, greedy, no end tokens) through the engine itself.
class EngineMeter {
 public:
  EngineMeter(Engine& engine, uint32_t vocabulary) : engine_(engine), vocabulary_(vocabulary) {}

  Result<PromptMeasurement> prompt(uint32_t tokens);
  Result<DecodeMeasurement> decode(uint32_t sequences, uint32_t context, uint32_t tokens);

 private:
  Request random_request(uint32_t prompt_tokens, uint32_t max_tokens);

  Engine& engine_;
  uint32_t vocabulary_;
  uint32_t requests_ = 0;
};

}  // namespace hearth::app
