#include "device/vulkan/bench/step.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdio>

namespace hearth::vulkan {
namespace {

/// GPUs raise their clocks only under load.
constexpr double kWarmUpSeconds = 0.6;

}  // namespace

Step::Step(uint32_t sequences, uint32_t each, uint32_t context) : ids(sequences * each) {
  const uint32_t blocks = (context + each + kBlockTokens - 1) / kBlockTokens;
  tables.resize(sequences);
  for (uint32_t s = 0; s < sequences; ++s) {
    for (uint32_t b = 0; b < blocks; ++b) tables[s].push_back(static_cast<int32_t>(s * blocks + b));
    views.push_back({tables[s]});
  }
  for (uint32_t s = 0; s < sequences; ++s) {
    inputs.push_back({s * each, each, context, views[s]});
    logit_rows.push_back((s + 1) * each - 1);
    candidates.push_back(1);
  }
  for (uint32_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<int32_t>(i * 37 % 1000);
}

double seconds_of_step(Program& program, const Step& step, uint32_t repeat) {
  using Clock = std::chrono::steady_clock;
  const auto seconds_since = [](Clock::time_point begin) {
    return std::chrono::duration<double>(Clock::now() - begin).count();
  };
  std::vector<double> times;
  const auto start = Clock::now();
  for (uint32_t i = 0; times.size() < repeat; ++i) {
    const auto begin = Clock::now();
    if (auto done = program.run(step.input()); !done) {
      fmt::print("failed: {}\n", to_string(done.error()));
      return 0;
    }
    if (i >= 2 && seconds_since(start) > kWarmUpSeconds) times.push_back(seconds_since(begin));
  }
  std::ranges::sort(times);
  return times[times.size() / 2];
}

}  // namespace hearth::vulkan
