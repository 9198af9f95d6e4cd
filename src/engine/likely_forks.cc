#include "engine/likely_forks.h"

#include <algorithm>

#include "device/step.h"

namespace hearth {

std::vector<uint32_t> likely_forks(std::span<const int32_t> prompt, const std::function<bool(int32_t)>& is_control) {
  constexpr uint32_t kLeastApart = 128;
  const auto border = [](size_t position) { return static_cast<uint32_t>(position / kBlockTokens * kBlockTokens); };
  const uint32_t end = prompt.empty() ? 0 : border(prompt.size() - 1);

  std::vector<uint32_t> borders;
  for (size_t i = 1; i < prompt.size(); ++i) {
    const bool is_far = border(i) >= kLeastApart && border(i) + kLeastApart <= end;
    if (is_far && is_control(prompt[i]) && (borders.empty() || borders.back() < border(i)))
      borders.push_back(border(i));
  }
  std::vector<uint32_t> forks;
  if (!borders.empty()) forks.push_back(borders.front());
  if (!borders.empty() && borders.back() >= forks.back() + kLeastApart) forks.push_back(borders.back());
  if (end >= kLeastApart) forks.push_back(end);
  return forks;
}

}  // namespace hearth
