// Highway compiles what stands in HWY_NAMESPACE once for each instruction set and chooses at run time.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/sampling/exponentials.cc"
#include <hwy/foreach_target.h>
// foreach_target.h comes first, or only one instruction set is compiled.
#include <hwy/contrib/math/math-inl.h>
#include <hwy/highway.h>

#include <algorithm>

#include "engine/sampling/exponentials.h"

HWY_BEFORE_NAMESPACE();
namespace hearth::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

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
    const size_t end = std::min(at + kSumBlock, count - count % lanes);
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

HWY_EXPORT(sum_exponentials);

double sum_exponentials(std::span<const float> logits, float maximum, float scale, float* terms) {
  return HWY_DYNAMIC_DISPATCH(sum_exponentials)(logits.data(), logits.size(), maximum, scale, terms);
}

}  // namespace hearth
#endif
