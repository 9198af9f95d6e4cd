#include "device/step_results.h"

#include <fmt/format.h>

#include <algorithm>

namespace hearth {

StepOutput StepResults::collect(const StepInput& input, std::span<float> logits, size_t vocabulary, ThreadPool& pool,
                                Search search) {
  const size_t rows = input.logit_rows.size();
  std::vector<std::span<TokenLogit>> wanted(rows);
  size_t total = 0;
  for (size_t row = 0; row < rows; ++row) total += input.candidates_of(row);
  if (total == 0) return {.logits = logits};
  candidates_.resize(total);
  for (size_t row = 0, at = 0; row < rows; at += wanted[row++].size()) {
    wanted[row] = std::span(candidates_).subspan(at, input.candidates_of(row));
  }
  pool.parallel_for(rows, [&](size_t row, unsigned) {
    if (!wanted[row].empty()) search(logits.subspan(row * vocabulary, vocabulary), wanted[row]);
  });
  size_t whole = 0;
  for (size_t row = 0; row < rows; ++row) {
    if (!wanted[row].empty()) continue;
    const auto from = logits.subspan(row * vocabulary, vocabulary);
    if (whole != row) std::ranges::copy(from, logits.begin() + static_cast<ptrdiff_t>(whole * vocabulary));
    ++whole;
  }
  return {.logits = logits.first(whole * vocabulary), .candidates = candidates_};
}

Result<void> check_candidates(const StepInput& input) {
  if (!input.candidates.empty() && input.candidates.size() != input.logit_rows.size()) {
    return fail(ErrorCode::internal, fmt::format("candidates are told for {} of {} rows of logits",
                                                 input.candidates.size(), input.logit_rows.size()));
  }
  const auto most = std::ranges::max_element(input.candidates);
  if (most == input.candidates.end() || *most <= kMaxCandidates) return {};
  return fail(ErrorCode::internal, fmt::format("{} candidates of a row are beyond {}", *most, kMaxCandidates));
}

}  // namespace hearth
