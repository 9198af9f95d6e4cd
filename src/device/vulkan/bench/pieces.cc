#include "device/vulkan/bench/pieces.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <vector>

namespace hearth::vulkan {

Result<void> tune_in_pieces(Program& program, uint32_t milliseconds) {
  using Clock = std::chrono::steady_clock;
  std::vector<double> waits;
  for (;;) {
    const auto end = Clock::now() + std::chrono::milliseconds(milliseconds);
    auto left = program.tune([end] { return Clock::now() >= end; });
    if (!left) return pass_on(left);
    if (!*left) break;
    waits.push_back(std::chrono::duration<double, std::milli>(Clock::now() - end).count());
  }
  if (waits.empty()) return {};
  std::ranges::sort(waits);
  fmt::print("tuning interrupted {} times, waited for {:.1f} ms in the middle, {:.1f} ms at 99 %, {:.1f} ms at most\n",
             waits.size(), waits[waits.size() / 2], waits[waits.size() * 99 / 100], waits.back());
  return {};
}

}  // namespace hearth::vulkan
