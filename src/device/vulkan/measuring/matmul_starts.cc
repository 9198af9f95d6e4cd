#include "device/vulkan/measuring/matmul_starts.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <utility>

#include "device/vulkan/measuring/matmul_search.h"

namespace hearth::vulkan {
namespace {

constexpr std::array kCounts = {
    TunedCount{1, true},  TunedCount{8, true},  TunedCount{16, true},  TunedCount{4, true},   TunedCount{2, true},
    TunedCount{32, true}, TunedCount{64, true}, TunedCount{512, true}, TunedCount{128, true}, TunedCount{12},
    TunedCount{24},       TunedCount{48},       TunedCount{10},        TunedCount{14},        TunedCount{40},
    TunedCount{3},        TunedCount{6},        TunedCount{5},         TunedCount{7},         TunedCount{256},
    TunedCount{2048}};

/// Whether every bucket of tokens that has a kernel of its own is measured.
constexpr bool all_are_measured() {
  for (uint32_t tokens = 1; tokens <= MatmulTunings::kLastOwnKernel; ++tokens) {
    const auto holds = [&](const TunedCount& count) { return count.tokens == bucket_of(tokens); };
    if (std::ranges::none_of(kCounts, holds)) return false;
  }
  return true;
}
static_assert(all_are_measured());

/// With fewer tokens dot products of bytes are quicker on all devices seen, but not before their fields were varied: a
/// search that began with matrices filled in registers would not find that out.
constexpr uint32_t kLeastFragmentTokens = 3;
constexpr uint32_t kFewTokens = 16;

std::vector<TuningChanges> paths_of_table(const std::string& few_group, uint32_t tokens) {
  std::vector<TuningChanges> starts = {{}};
  const bool few = tokens <= kFewTokens;
  starts.push_back(force_path(few ? MatmulPath::few : MatmulPath::tiled));
  starts.push_back(force_path(MatmulPath::matrix));
  if (tokens >= kLeastFragmentTokens) {
    std::ranges::copy(fragment_starts(few_group, tokens), std::back_inserter(starts));
  }
  if (!few) {
    starts.push_back(force_path(MatmulPath::decoded_matrix));
    starts.push_back(force_path(MatmulPath::workgroup_matrix));
  }
  return starts;
}

}  // namespace

const std::vector<TunedCount>& tuned_counts() {
  static const std::vector<TunedCount> kAll(kCounts.begin(), kCounts.end());
  return kAll;
}

std::vector<TuningChanges> matmul_starts(const Tuning& table, const MeasuredTunings& measured,
                                         const TuningTarget& target, uint32_t tokens) {
  std::vector<TuningChanges> starts = paths_of_table(target.few_group, tokens);
  const auto known = measured.find(target.shape);
  if (known == measured.end()) return starts;
  const auto add_neighbour = [&](const std::pair<const uint32_t, MeasuredTuning>& neighbour) {
    auto start = start_from(table, neighbour.first, neighbour.second.changes);
    if (!start || (start->path == MatmulPath::few && tokens > kFewTokens)) return;
    if (start->path == MatmulPath::fragments && tokens < kLeastFragmentTokens) return;
    starts.push_back(std::move(start->changes));
  };
  const auto above = known->second.upper_bound(tokens);
  if (above != known->second.end()) add_neighbour(*above);
  if (above != known->second.begin()) add_neighbour(*std::prev(above));
  return starts;
}

}  // namespace hearth::vulkan
