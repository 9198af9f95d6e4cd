#include "device/logit_search.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "device/logit_maxima.h"

namespace hearth {
namespace {

constexpr float kLowest = -std::numeric_limits<float>::infinity();
constexpr TokenLogit kNoCandidate = {-1, kLowest};

/// The maxima of all blocks of a row, in memory that the thread keeps.
std::span<const float> maxima_of(std::span<const float> logits) {
  thread_local std::vector<float> maxima;
  maxima.resize((logits.size() + kLogitBlock - 1) / kLogitBlock);
  block_maxima(logits, maxima);
  return maxima;
}

bool ranks_before(const TokenLogit& a, const TokenLogit& b) {
  return a.logit != b.logit ? a.logit > b.logit : a.token < b.token;
}

/// Calls visit(token, logit) for values above `threshold`, which visit may raise. `maxima` are those of the blocks.
template <class Visit>
void visit_above(std::span<const float> logits, std::span<const float> maxima, const float& threshold, Visit visit) {
  size_t at = 0;
  for (const float maximum : maxima) {
    const size_t end = std::min(at + kLogitBlock, logits.size());
    if (maximum > threshold) {
      for (size_t i = at; i < end; ++i) {
        if (logits[i] > threshold) visit(static_cast<int32_t>(i), logits[i]);
      }
    }
    at = end;
  }
}

/// Something below the `count` largest values: that many blocks have a larger maximum.
float below_largest(std::span<const float> maxima, size_t count) {
  if (count > maxima.size()) return kLowest;
  thread_local std::vector<float> sorted;
  sorted.assign(maxima.begin(), maxima.end());
  const auto last = sorted.begin() + static_cast<ptrdiff_t>(count - 1);
  std::nth_element(sorted.begin(), last, sorted.end(), std::greater{});
  return std::nextafter(*last, kLowest);
}

}  // namespace

int32_t argmax(std::span<const float> logits) {
  const auto maxima = maxima_of(logits);
  size_t best = 0;
  for (size_t block = 1; block < maxima.size(); ++block) {
    if (maxima[block] > maxima[best]) best = block;
  }
  if (maxima.empty() || maxima[best] == kLowest) return -1;
  const auto block = logits.subspan(best * kLogitBlock);
  return static_cast<int32_t>(std::ranges::find(block, maxima[best]) - block.begin() + best * kLogitBlock);
}

void select_top(std::span<const float> logits, size_t count, std::vector<TokenLogit>& top) {
  top.clear();
  if (count == 0) return;
  // Candidates gather up to some excess, then only the best `count` stay and the last of them is the one to beat.
  // A later equal loses against an earlier one, so a strict comparison is enough.
  const size_t capacity = count + std::max<size_t>(count, 512);
  const auto maxima = maxima_of(logits);
  float threshold = below_largest(maxima, count);
  visit_above(logits, maxima, threshold, [&](int32_t token, float logit) {
    top.push_back({token, logit});
    if (top.size() < capacity) return;
    std::nth_element(top.begin(), top.begin() + static_cast<ptrdiff_t>(count - 1), top.end(), ranks_before);
    top.resize(count);
    threshold = top.back().logit;
  });
  const size_t kept = std::min(count, top.size());
  std::partial_sort(top.begin(), top.begin() + static_cast<ptrdiff_t>(kept), top.end(), ranks_before);
  top.resize(kept);
}

void select_above(std::span<const float> logits, float minimum, std::vector<TokenLogit>& selected) {
  const float threshold = std::nextafter(minimum, kLowest);
  visit_above(logits, maxima_of(logits), threshold, [&](int32_t token, float logit) {
    selected.push_back({token, logit});
  });
}

void best_candidates(std::span<const float> logits, std::span<TokenLogit> best) {
  if (best.size() == 1) {  // greedy
    const int32_t token = argmax(logits);
    best[0] = token < 0 ? kNoCandidate : TokenLogit{token, logits[token]};
    return;
  }
  thread_local std::vector<TokenLogit> top;
  select_top(logits, best.size(), top);
  const auto end = std::ranges::copy(top, best.begin()).out;
  std::fill(end, best.end(), kNoCandidate);
}

}  // namespace hearth
