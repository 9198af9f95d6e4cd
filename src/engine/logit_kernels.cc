// Highway compiles what stands in HWY_NAMESPACE once for each instruction set and chooses at run time.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/logit_kernels.cc"
#include <hwy/foreach_target.h>
// foreach_target.h comes first, or only one instruction set is compiled.
#include <hwy/contrib/math/math-inl.h>
#include <hwy/highway.h>

#include <algorithm>
#include <limits>

#include "engine/logit_kernels.h"

HWY_BEFORE_NAMESPACE();
namespace hearth::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

float maximum_of(const float* values, size_t count) {
  const hn::ScalableTag<float> d;
  const size_t lanes = hn::Lanes(d);
  const auto lowest = hn::Set(d, -std::numeric_limits<float>::infinity());
  // Two chains hide the latency. The comparison is false for NaN, which so never gets in.
  auto a = lowest;
  auto b = lowest;
  size_t at = 0;
  for (; at + 2 * lanes <= count; at += 2 * lanes) {
    const auto x = hn::LoadU(d, values + at);
    const auto y = hn::LoadU(d, values + at + lanes);
    a = hn::IfThenElse(hn::Gt(x, a), x, a);
    b = hn::IfThenElse(hn::Gt(y, b), y, b);
  }
  float best = hn::GetLane(hn::MaxOfLanes(d, hn::Max(a, b)));
  for (; at < count; ++at) best = values[at] > best ? values[at] : best;
  return best;
}

void block_maxima(const float* values, size_t count, float* maxima) {
  for (size_t at = 0; at < count; at += kLogitBlock)
    *maxima++ = maximum_of(values + at, std::min(kLogitBlock, count - at));
}

double sum_exponentials(const float* logits, size_t count, float maximum, float scale, float* terms) {
  const hn::ScalableTag<float> d;
  const size_t lanes = hn::Lanes(d);
  const auto maximum_v = hn::Set(d, maximum);
  const auto scale_v = hn::Set(d, scale);
  double total = 0;
  size_t at = 0;
  while (at + lanes <= count) {
    // Sums of a block in float, of blocks in double.
    auto sum = hn::Zero(d);
    const size_t end = std::min(at + kLogitBlock, count - count % lanes);
    for (; at < end; at += lanes) {
      const auto x = hn::Mul(hn::Sub(hn::LoadU(d, logits + at), maximum_v), scale_v);
      const auto term = hn::IfThenElseZero(hn::Gt(x, hn::Set(d, -87.0F)), hn::Exp(d, x));
      sum = hn::Add(sum, term);
      if (terms != nullptr) hn::StoreU(term, d, terms + at);
    }
    total += hn::GetLane(hn::SumOfLanes(d, sum));
  }
  for (; at < count; ++at) {
    const auto x = hn::Set(d, (logits[at] - maximum) * scale);
    const float term = hn::GetLane(hn::IfThenElseZero(hn::Gt(x, hn::Set(d, -87.0F)), hn::Exp(d, x)));
    total += term;
    if (terms != nullptr) terms[at] = term;
  }
  return total;
}

}  // namespace hearth::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hearth {

HWY_EXPORT(block_maxima);
HWY_EXPORT(sum_exponentials);

void block_maxima(std::span<const float> values, std::span<float> maxima) {
  HWY_DYNAMIC_DISPATCH(block_maxima)(values.data(), values.size(), maxima.data());
}

double sum_exponentials(std::span<const float> logits, float maximum, float scale, float* terms) {
  return HWY_DYNAMIC_DISPATCH(sum_exponentials)(logits.data(), logits.size(), maximum, scale, terms);
}

}  // namespace hearth
#endif
