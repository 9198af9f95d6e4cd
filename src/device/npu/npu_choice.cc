#include "device/npu/npu_choice.h"

#include <algorithm>

namespace hearth {

bool npu_is_better(const NpuComparison& comparison, NpuPreference preference) {
  if (preference == NpuPreference::speed) return comparison.npu_seconds < comparison.processor_seconds;
  if (!comparison.npu_joules || !comparison.processor_joules) return false;
  return *comparison.npu_joules < *comparison.processor_joules;
}

std::vector<uint32_t> npu_token_counts(uint32_t most_tokens) {
  constexpr uint32_t kMost = 512;  // beyond it both take their time for each token alike
  std::vector<uint32_t> counts;
  for (uint32_t tokens = kLeastNpuTokens; tokens < std::min(kMost, most_tokens); tokens *= 2) counts.push_back(tokens);
  if (most_tokens >= kLeastNpuTokens) counts.push_back(std::min(kMost, most_tokens));
  return counts;
}

bool NpuChoice::is_known(std::string_view product, uint32_t tokens) const {
  return std::ranges::any_of(comparisons_, [&](const NpuComparison& comparison) {
    return comparison.product == product && comparison.tokens == tokens;
  });
}

bool NpuChoice::takes(std::string_view product, size_t tokens) const {
  const NpuComparison* below = nullptr;
  const NpuComparison* above = nullptr;
  for (const NpuComparison& each : comparisons_) {
    if (each.product != product) continue;
    if (each.tokens <= tokens && (below == nullptr || each.tokens > below->tokens)) below = &each;
    if (each.tokens >= tokens && (above == nullptr || each.tokens < above->tokens)) above = &each;
  }
  if (below == nullptr || !npu_is_better(*below, preference_)) return false;
  return above == nullptr || npu_is_better(*above, preference_);
}

bool NpuChoice::takes_some(std::string_view product) const {
  return std::ranges::any_of(comparisons_, [&](const NpuComparison& comparison) {
    return comparison.product == product && npu_is_better(comparison, preference_);
  });
}

}  // namespace hearth
