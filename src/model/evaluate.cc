#include "model/evaluate.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

namespace hearth {

Result<SingleSequence> SingleSequence::create(Model& model, uint32_t capacity, uint32_t chunk,
                                              const CompileOptions& compiling) {
  SingleSequence sequence;
  sequence.vocabulary_ = model.config().vocabulary;
  sequence.capacity_ = capacity;
  sequence.chunk_ = std::min(chunk, capacity);
  sequence.blocks_.resize((capacity + kBlockTokens - 1) / kBlockTokens);
  std::iota(sequence.blocks_.begin(), sequence.blocks_.end(), 0);
  std::vector<uint32_t> blocks_per_group;
  for (const CacheGroup& group : model.cache_groups()) {
    sequence.keeps_states_.push_back(group.keeps_states);
    blocks_per_group.push_back(group.keeps_states ? 1 : static_cast<uint32_t>(sequence.blocks_.size()));
  }
  if (auto made = model.create_cache(blocks_per_group); !made) return pass_on(made);
  auto program = model.compile({.tokens = sequence.chunk_, .logit_rows = sequence.chunk_, .sequences = 1}, compiling);
  if (!program) return pass_on(program);
  sequence.program_ = std::move(*program);
  return sequence;
}

Result<void> SingleSequence::append(std::span<const int32_t> tokens,
                                    const std::function<void(size_t, std::span<const float>)>& on_logits) {
  const auto unknown =
      std::ranges::find_if(tokens, [&](int32_t id) { return id < 0 || static_cast<uint32_t>(id) >= vocabulary_; });
  if (unknown != tokens.end()) {
    return fail(ErrorCode::invalid_argument, fmt::format("token id {} is outside the vocabulary", *unknown),
                fmt::format("ids go from 0 to {}", vocabulary_ - 1));
  }
  if (tokens.size() > capacity_ - length_) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("{} tokens do not fit behind {} of {}", tokens.size(), length_, capacity_));
  }
  for (size_t first = 0; first < tokens.size(); first += chunk_) {
    if (auto ran = step(tokens.subspan(first, std::min<size_t>(chunk_, tokens.size() - first)), first, on_logits);
        !ran) {
      return ran;
    }
  }
  return {};
}

Result<void> SingleSequence::step(std::span<const int32_t> tokens, size_t first,
                                  const std::function<void(size_t, std::span<const float>)>& on_logits) {
  const auto count = static_cast<uint32_t>(tokens.size());
  std::vector<uint32_t> rows(count);
  std::iota(rows.begin(), rows.end(), 0U);
  block_tables_.clear();
  for (const bool states : keeps_states_) {
    block_tables_.push_back(states ? std::span<const int32_t>(states_) : std::span<const int32_t>(blocks_));
  }
  const SequenceInput sequence{
      .first_token = 0, .token_count = count, .context_tokens = length_, .block_tables = block_tables_};
  const auto output = program_->run({.token_ids = tokens, .sequences = std::span(&sequence, 1), .logit_rows = rows});
  if (!output) return std::unexpected(output.error());
  length_ += count;
  states_[0] = states_[1];
  for (uint32_t i = 0; i < count; ++i) {
    on_logits(first + i, output->logits.subspan(static_cast<size_t>(i) * vocabulary_, vocabulary_));
  }
  return {};
}

}  // namespace hearth
