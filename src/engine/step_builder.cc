#include "engine/step_builder.h"

namespace hearth {

const StepInput& StepBuilder::build(std::span<const ScheduledSequence> step) {
  token_ids_.clear();
  sequences_.clear();
  logit_rows_.clear();
  candidates_.clear();
  block_tables_.clear();
  for (const ScheduledSequence& scheduled : step) {
    const Sequence& sequence = *scheduled.sequence;
    const auto first_token = static_cast<uint32_t>(token_ids_.size());
    if (scheduled.context_tokens < sequence.size()) {
      const auto tokens = sequence.tokens.begin() + scheduled.context_tokens;
      token_ids_.insert(token_ids_.end(), tokens, tokens + scheduled.rows.known());
      token_ids_.insert(token_ids_.end(), sequence.drafts.begin(), sequence.drafts.begin() + scheduled.rows.verify);
    } else {
      token_ids_.push_back(StepInput::best_of_row(scheduled.row_before));
    }
    const uint32_t end = first_token + scheduled.rows.count();
    for (uint32_t row = end - scheduled.logit_count; row < end; ++row) logit_rows_.push_back(row);
    candidates_.insert(candidates_.end(), scheduled.logit_count, scheduled.candidates);
    block_tables_.insert(block_tables_.end(), sequence.blocks.tables.begin(), sequence.blocks.tables.end());
    sequences_.push_back({first_token, scheduled.rows.count(), scheduled.context_tokens, {}});
  }
  // Only now that block_tables_ has stopped moving can sequences point into it.
  const size_t groups = step.empty() ? 0 : block_tables_.size() / step.size();
  for (size_t i = 0; i < sequences_.size(); ++i) sequences_[i].block_tables = {&block_tables_[i * groups], groups};
  input_ = {token_ids_, sequences_, logit_rows_, candidates_};
  return input_;
}

}  // namespace hearth
