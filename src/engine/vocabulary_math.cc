#include "engine/vocabulary_math.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>

namespace hearth {
namespace {

constexpr float kLowest = -std::numeric_limits<float>::infinity();

// Sixteen independent lanes hide the latency of one running maximum or sum, and are what the compiler can vectorise
// without leave to reorder floating-point operations.
constexpr size_t kLanes = 16;
constexpr size_t kBlock = 256;

float block_maximum(const float* values) {
  std::array<float, kLanes> lanes;
  lanes.fill(kLowest);
  for (size_t at = 0; at < kBlock; at += kLanes) {
    for (size_t lane = 0; lane < kLanes; ++lane) {
      lanes[lane] = values[at + lane] > lanes[lane] ? values[at + lane] : lanes[lane];
    }
  }
  for (size_t half = kLanes / 2; half > 0; half /= 2) {
    for (size_t lane = 0; lane < half; ++lane) lanes[lane] = std::max(lanes[lane], lanes[lane + half]);
  }
  return lanes[0];
}

/// exp(x) for x <= 0 to within 2 units in the last place, 0 below -87. x = n ln 2 + r with |r| <= ln 2 / 2; the
/// polynomial is that of Cephes (Moshier), expf.
inline float exp_of_negative(float x) {
  constexpr float kRound = 0x1.8p23F;             // adding and subtracting it rounds to an integer
  const float clamped = x > -87.0F ? x : -87.0F;  // also where x is NaN
  const float shifted = clamped * 1.44269504F + kRound;
  const float n = shifted - kRound;
  const float r = (clamped - n * 0.693359375F) - n * -2.12194440e-4F;
  float p = 1.9875691500e-4F;
  p = p * r + 1.3981999507e-3F;
  p = p * r + 8.3334519073e-3F;
  p = p * r + 4.1665795894e-2F;
  p = p * r + 1.6666665459e-1F;
  p = p * r + 5.0000001201e-1F;
  p = p * r * r + r + 1.0F;
  const uint32_t power = (std::bit_cast<uint32_t>(shifted) + 127U) << 23;  // 2^n: n stands in shifted's low bits
  const float value = p * std::bit_cast<float>(power);
  return x > -87.0F ? value : 0.0F;
}

/// Sum over the vocabulary of the exponentials, each handed to `store(position, values)` in rows of kLanes.
template <class Store>
double sum_of_exponentials(std::span<const float> logits, float maximum, float scale, Store store) {
  double total = 0;
  size_t at = 0;
  while (at + kLanes <= logits.size()) {
    std::array<float, kLanes> sums{};
    const size_t end = std::min(at + kBlock, logits.size() / kLanes * kLanes);
    for (; at < end; at += kLanes) {
      std::array<float, kLanes> values;
      for (size_t lane = 0; lane < kLanes; ++lane)
        values[lane] = exp_of_negative((logits[at + lane] - maximum) * scale);
      for (size_t lane = 0; lane < kLanes; ++lane) sums[lane] += values[lane];
      store(at, values.data(), kLanes);
    }
    for (const float sum : sums) total += sum;
  }
  for (; at < logits.size(); ++at) {
    const float value = exp_of_negative((logits[at] - maximum) * scale);
    total += value;
    store(at, &value, 1);
  }
  return total;
}

bool ranks_before(const TokenLogit& a, const TokenLogit& b) {
  return a.logit != b.logit ? a.logit > b.logit : a.token < b.token;
}

/// Calls visit(token, logit) for values above `threshold`, which visit may raise.
template <class Visit>
void visit_above(std::span<const float> logits, const float& threshold, Visit visit) {
  size_t at = 0;
  for (; at + kBlock <= logits.size(); at += kBlock) {
    if (!(block_maximum(&logits[at]) > threshold)) continue;
    for (size_t i = at; i < at + kBlock; ++i) {
      if (logits[i] > threshold) visit(static_cast<int32_t>(i), logits[i]);
    }
  }
  for (; at < logits.size(); ++at) {
    if (logits[at] > threshold) visit(static_cast<int32_t>(at), logits[at]);
  }
}

}  // namespace

int32_t argmax(std::span<const float> logits) {
  float best = kLowest;
  size_t first = logits.size();  // of the block that has it
  size_t at = 0;
  for (; at + kBlock <= logits.size(); at += kBlock) {
    const float maximum = block_maximum(&logits[at]);
    if (maximum > best) best = maximum, first = at;
  }
  for (; at < logits.size(); ++at) {
    if (logits[at] > best) best = logits[at], first = at;
  }
  while (first < logits.size() && logits[first] != best) ++first;
  return first < logits.size() ? static_cast<int32_t>(first) : -1;
}

double exp_sum(std::span<const float> logits, float maximum, float scale) {
  return sum_of_exponentials(logits, maximum, scale, [](size_t, const float*, size_t) {});
}

double exp_weights(std::span<const float> logits, float maximum, float scale, std::span<float> weights) {
  return sum_of_exponentials(logits, maximum, scale, [&](size_t at, const float* values, size_t count) {
    std::copy_n(values, count, &weights[at]);
  });
}

int32_t position_of_sum(std::span<const float> weights, double target) {
  double before = 0;
  size_t at = 0;
  for (; at + kBlock <= weights.size(); at += kBlock) {
    std::array<float, kLanes> lanes{};
    for (size_t i = at; i < at + kBlock; i += kLanes) {
      for (size_t lane = 0; lane < kLanes; ++lane) lanes[lane] += weights[i + lane];
    }
    double sum = 0;
    for (const float lane : lanes) sum += lane;
    if (before + sum > target) break;
    before += sum;
  }
  // From here on one by one: rounding may put the crossing a little behind the block.
  for (; at < weights.size(); ++at) {
    before += weights[at];
    if (before > target && weights[at] > 0) return static_cast<int32_t>(at);
  }
  at = weights.size();
  while (at > 0 && !(weights[at - 1] > 0)) --at;
  return static_cast<int32_t>(at) - 1;
}

void select_top(std::span<const float> logits, size_t count, std::vector<TokenLogit>& top) {
  top.clear();
  if (count == 0) return;
  // Candidates gather up to some excess, then only the best `count` stay and the last of them is the one to beat.
  // A later equal loses against an earlier one, so a strict comparison is enough.
  const size_t capacity = count + std::max<size_t>(count, 512);
  float threshold = kLowest;
  visit_above(logits, threshold, [&](int32_t token, float logit) {
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
  visit_above(logits, threshold, [&](int32_t token, float logit) { selected.push_back({token, logit}); });
}

}  // namespace hearth
