// Highway compiles what stands in HWY_NAMESPACE once for each instruction set and chooses at run time.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "device/logit_maxima.cc"
#include <hwy/foreach_target.h>
// foreach_target.h comes first, or only one instruction set is compiled.
#include <hwy/highway.h>

#include <algorithm>
#include <limits>

#include "device/logit_maxima.h"

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

}  // namespace hearth::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hearth {

HWY_EXPORT(block_maxima);

void block_maxima(std::span<const float> values, std::span<float> maxima) {
  HWY_DYNAMIC_DISPATCH(block_maxima)(values.data(), values.size(), maxima.data());
}

}  // namespace hearth
#endif
