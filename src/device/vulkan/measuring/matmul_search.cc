#include "device/vulkan/measuring/matmul_search.h"

#include <fmt/format.h>

#include <algorithm>
#include <concepts>

#include "device/vulkan/paths/matmul_tunings.h"
#include "device/vulkan/paths/tuning_fields.h"

namespace hearth::vulkan {
namespace {

/// Shared sums and registers of the few-token shaders are made for so many.
constexpr uint32_t kMostFewTokens = 16;

/// Of fragments.joined: as many tokens as it may be for.
constexpr uint32_t kJoined = MatmulTunings::kLastOwnKernel;

/// The field of Tuning that holds the matrix tiles for so many tokens.
std::string matrix_group(uint32_t tokens, bool decoded) {
  const Tuning any;
  std::string group;
  visit_matmul_fields(any, [&](const char* name, const auto& field) {
    if constexpr (std::same_as<decltype(field), const MatrixTuning&>) {
      if (&field == &matrix_tuning(any, tokens, decoded)) group = name;
    }
  });
  return group;
}

uint32_t value_of(const Tuning& tuning, const std::string& field) { return all_fields(tuning).at(field); }

/// Whether several workgroups for a row may pay: a fence in each costs more than they gain with fewer tokens (H200).
bool may_share(const std::string& few_group, uint32_t tokens) {
  return few_group != "gate_up" && tokens > 16 && tokens <= MatmulTunings::kLastOwnKernel;
}

}  // namespace

MatmulPath path_of(const Tuning& tuning, uint32_t tokens) {
  const FragmentTuning& fragments = tuning.fragments;
  if (fragments.from_tokens > 0 && tokens >= fragments.from_tokens && tokens <= fragments.to_tokens) {
    return MatmulPath::fragments;
  }
  if (tokens <= tuning.few_tokens_limit) return MatmulPath::few;
  if (tuning.many_tokens_path == static_cast<uint32_t>(ManyTokensPath::dot)) return MatmulPath::tiled;
  const uint32_t from = tuning.workgroup_matrix.from_tokens;
  if (from > 0 && tokens >= from) return MatmulPath::workgroup_matrix;
  const bool decodes = tuning.decode_from_tokens > 0 && tokens >= tuning.decode_from_tokens;
  return decodes ? MatmulPath::decoded_matrix : MatmulPath::matrix;
}

TuningChanges force_path(MatmulPath path) {
  if (path == MatmulPath::fragments) return {{"fragments.from_tokens", 1}, {"fragments.to_tokens", UINT32_MAX}};
  if (path == MatmulPath::few) return {{"fragments.from_tokens", 0}, {"few_tokens_limit", kMostFewTokens}};
  const auto many = path == MatmulPath::tiled ? ManyTokensPath::dot : ManyTokensPath::best;
  return {{"fragments.from_tokens", 0},
          {"few_tokens_limit", 0},
          {"many_tokens_path", static_cast<uint32_t>(many)},
          {"workgroup_matrix.from_tokens", path == MatmulPath::workgroup_matrix ? 1 : 0},
          {"decode_from_tokens", path == MatmulPath::decoded_matrix ? 1 : 0}};
}

std::vector<TuningChanges> fragment_starts(const std::string& few_group, uint32_t tokens) {
  // How many subgroups fit on a processor depends on all fields. Each of these won somewhere on an H200.
  std::vector<TuningChanges> shapes = {{}};
  if (tokens <= MatmulTunings::kLastOwnKernel) {
    shapes.push_back({{"fragments.joined", 0}});
    shapes.push_back({{"fragments.joined", 0}, {"fragments.strips", 2}, {"fragments.teams", 4}});
    shapes.push_back({{"fragments.joined", kJoined}});
    shapes.push_back({{"fragments.joined", kJoined}, {"fragments.teams", 4}, {"fragments.pieces", 16}});
    shapes.push_back(shapes.back());
    shapes.back()["fragments.ahead"] = 1;
    for (const uint32_t joined : {0U, kJoined}) {
      if (tokens <= 16) shapes.push_back({{"fragments.joined", joined}, {"fragments.teams", 12}});
    }
    if (may_share(few_group, tokens)) {
      shapes.push_back({{"fragments.joined", kJoined},
                        {"fragments.teams", 6},
                        {"fragments.strips", 2},
                        {"fragments.row_parts", 2},
                        {"fragments.shares", 3}});
    }
  }
  for (TuningChanges& shape : shapes) shape.merge(force_path(MatmulPath::fragments));
  return shapes;
}

std::optional<NeighbourStart> start_from(const Tuning& table, uint32_t tokens, const TuningChanges& best) {
  Tuning tuning = table;
  if (!change_tuning(best, tuning)) return {};
  NeighbourStart start = {.path = path_of(tuning, tokens), .changes = best};
  for (const auto& [name, value] : force_path(start.path)) start.changes[name] = value;
  if (start.path == MatmulPath::fragments) {
    start.changes["fragments.joined"] = tokens <= tuning.fragments.joined ? kJoined : 0;
  }
  return start;
}

std::vector<TuningAxis> axes_of(MatmulPath path, const std::string& few_group, uint32_t tokens) {
  if (path == MatmulPath::few) {
    std::vector<TuningAxis> axes = {{few_group + ".split", {1, 2, 4, 8}},
                                    {few_group + ".rows", {1, 2, 4, 8}},
                                    {few_group + ".subgroups", {4, 8, 16}},
                                    {few_group + ".cluster", {8, 16, 32}},
                                    {few_group + ".joined", {0, kMostFewTokens}}};
    if (tokens > 2) axes.push_back({"most_sums", {16, 32, 64}});  // where it limits rows
    return axes;
  }
  if (path == MatmulPath::tiled) return {};
  if (path == MatmulPath::fragments) {
    const bool own_kernel = tokens <= MatmulTunings::kLastOwnKernel;
    const std::string many = own_kernel ? "" : "many_";
    std::vector<TuningAxis> axes = {{fmt::format("fragments.{}teams", many), {2, 4, 6, 8, 12, 16}},
                                    {fmt::format("fragments.{}strips", many), {1, 2, 4}},
                                    {"fragments.row_parts", {1, 2, 4}},
                                    {"fragments.ahead", {0, 1}}};
    if (may_share(few_group, tokens)) axes.push_back({"fragments.shares", {1, 2, 3, 4}});
    if (own_kernel) axes.push_back({"fragments.joined", {0, kJoined}});
    if (tokens > 16) axes.push_back({"fragments.pieces", {8, 16}});
    if (tokens > 8) axes.push_back({"fragments.matrix_tokens", {8, 16}});
    if (tokens > 32) axes.push_back({"fragments.tile_tokens", {32, 64}});
    return axes;
  }
  if (path == MatmulPath::workgroup_matrix) {
    return {{"workgroup_matrix.threads", {128, 256}},
            {"workgroup_matrix.tile_rows", {64, 128, 256}},
            {"workgroup_matrix.tile_tokens", {64, 128, 256}},
            {"workgroup_matrix.depth", {32, 64}}};
  }
  const std::string group = matrix_group(tokens, path == MatmulPath::decoded_matrix);
  if (path == MatmulPath::decoded_matrix && tokens > 64) {
    return {{group + ".tile_rows", {64, 96, 128, 192, 256}},
            {group + ".tile_tokens", {64, 128, 256}},
            {group + ".sub_rows", {32, 64}},
            {group + ".sub_tokens", {32, 64, 128}},
            {group + ".depth", {2, 4}},
            {group + ".buffers", {1, 2}}};
  }
  std::vector<TuningAxis> axes = {{group + ".teams", {1, 2, 4, 8}},
                                  {group + ".tile_rows", {16, 32, 64, 128}},
                                  {group + ".sub_rows", {16, 32, 64}},
                                  {group + ".depth", {1, 2, 4, 8}},
                                  {group + ".buffers", {1, 2}}};
  if (tokens > 16) axes.push_back({group + ".sub_tokens", {16, 32, 64}});
  if (tokens > 64) axes.push_back({group + ".tile_tokens", {64, 128}});
  return axes;
}

MatmulSearch::MatmulSearch(const Tuning& table, std::vector<TuningChanges> starts, std::string few_group,
                           uint32_t tokens, bool descend)
    : table_(table),
      few_group_(std::move(few_group)),
      tokens_(tokens),
      descend_(descend),
      candidates_(std::move(starts)) {}

Tuning MatmulSearch::applied(const TuningChanges& changes) const {
  Tuning tuning = table_;
  (void)change_tuning(changes, tuning);  // names come from axes_of and force_path, which a test checks
  return tuning;
}

void MatmulSearch::learn(const std::vector<double>& seconds) {
  // The best so far was measured again beside its rivals: a clock that has changed meanwhile changed for all of them.
  best_seconds_ = seconds.front();
  if (stage_ == Stage::check) {
    table_seconds_ = seconds.back();
    if (best_seconds_ >= table_seconds_ * kGain) best_.clear(), best_seconds_ = table_seconds_;
    candidates_.clear();
    return;
  }
  if (best_.empty()) table_seconds_ = best_seconds_;
  const auto quickest = std::ranges::min_element(seconds);
  if (*quickest < best_seconds_ * kGain) {
    best_seconds_ = *quickest;
    best_ = candidates_[static_cast<size_t>(quickest - seconds.begin())];
  }
  if (stage_ == Stage::start && descend_) {
    axes_ = axes_of(path_of(applied(best_), tokens_), few_group_, tokens_);
    std::ranges::reverse(axes_);
  }
  stage_ = Stage::descent;
  next_axis();
}

void MatmulSearch::next_axis() {
  candidates_ = {best_};
  while (candidates_.size() == 1 && !axes_.empty()) {
    const TuningAxis axis = std::move(axes_.back());
    axes_.pop_back();
    const uint32_t now = value_of(applied(best_), axis.field);
    for (const uint32_t value : axis.values) {
      if (value == now) continue;
      TuningChanges candidate = best_;
      candidate[axis.field] = value;
      candidates_.push_back(std::move(candidate));
    }
  }
  if (candidates_.size() > 1) return;
  candidates_.clear();
  if (!descend_ || best_.empty()) return;
  stage_ = Stage::check;
  candidates_ = {best_, {}};
}

}  // namespace hearth::vulkan
