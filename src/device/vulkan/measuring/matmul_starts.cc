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

std::vector<TuningChanges> paths_of_table(uint32_t tokens) {
  std::vector<TuningChanges> starts = {{}};
  const bool few = tokens <= kFewTokens;
  starts.push_back(force_path(few ? MatmulPath::few : MatmulPath::tiled));
  starts.push_back(force_path(MatmulPath::matrix));
  if (tokens >= kLeastFragmentTokens) starts.push_back(force_path(MatmulPath::fragments));
  if (tokens >= kLeastFragmentTokens && tokens <= MatmulTunings::kLastOwnKernel) {  // quicker where rows are many
    starts.push_back(force_path(MatmulPath::fragments));
    starts.back()["fragments.strips"] = 2, starts.back()["fragments.teams"] = 4;
    starts.push_back(force_path(MatmulPath::fragments));  // where tiles of tokens are several
    starts.back()["fragments.joined"] = 1;
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

std::vector<TuningChanges> matmul_starts(const Tuning& table, const MeasuredTunings& measured, std::string_view shape,
                                         uint32_t tokens) {
  std::vector<TuningChanges> starts = paths_of_table(tokens);
  const auto known = measured.find(shape);
  if (known == measured.end()) return starts;
  const auto add_neighbour = [&](const std::pair<const uint32_t, MeasuredTuning>& neighbour) {
    Tuning tuning = table;
    if (!change_tuning(neighbour.second.changes, tuning)) return;
    const MatmulPath path = path_of(tuning, neighbour.first);
    if (path == MatmulPath::few && tokens > kFewTokens) return;
    if (path == MatmulPath::fragments && tokens < kLeastFragmentTokens) return;
    TuningChanges start = neighbour.second.changes;
    for (const auto& [name, value] : force_path(path)) start[name] = value;
    starts.push_back(std::move(start));
  };
  const auto above = known->second.upper_bound(tokens);
  if (above != known->second.end()) add_neighbour(*above);
  if (above != known->second.begin()) add_neighbour(*std::prev(above));
  return starts;
}

}  // namespace hearth::vulkan
