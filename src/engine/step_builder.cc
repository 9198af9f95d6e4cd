#include "engine/step_builder.h"

namespace hearth {

const StepInput& StepBuilder::build(std::span<const ScheduledSequence> step) {
  token_ids_.clear();
  sequences_.clear();
  logit_rows_.clear();
  block_tables_.clear();
  for (const auto& [sequence, token_count, logit_count] : step) {
    const auto first_token = static_cast<uint32_t>(token_ids_.size());
    const auto tokens = sequence->tokens.begin() + sequence->computed;
    token_ids_.insert(token_ids_.end(), tokens, tokens + token_count);
    for (uint32_t row = token_count - logit_count; row < token_count; ++row) logit_rows_.push_back(first_token + row);
    block_tables_.insert(block_tables_.end(), sequence->blocks.tables.begin(), sequence->blocks.tables.end());
    sequences_.push_back({first_token, token_count, sequence->computed, {}});
  }
  // Only now that block_tables_ has stopped moving can sequences point into it.
  const size_t groups = step.empty() ? 0 : block_tables_.size() / step.size();
  for (size_t i = 0; i < sequences_.size(); ++i) sequences_[i].block_tables = {&block_tables_[i * groups], groups};
  input_ = {token_ids_, sequences_, logit_rows_};
  return input_;
}

}  // namespace hearth
