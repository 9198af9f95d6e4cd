// The search for a matmul's tuning, with times made up by a formula.

#include "device/vulkan/measuring/matmul_search.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <set>

namespace hearth::vulkan {
namespace {

using Cost = std::function<double(const Tuning&)>;

/// Runs a search to its end; counts what was measured.
MatmulSearch search(const Tuning& table, std::vector<TuningChanges> starts, uint32_t tokens, bool descend,
                    const Cost& cost, uint32_t* measured = nullptr) {
  MatmulSearch search(table, std::move(starts), "gate_up", tokens, descend);
  for (int round = 0; !search.candidates().empty(); ++round) {
    EXPECT_LT(round, 20) << "no end";
    std::vector<double> seconds;
    for (const TuningChanges& changes : search.candidates()) {
      Tuning tuning = table;
      EXPECT_TRUE(change_tuning(changes, tuning)) << text_of(changes);
      seconds.push_back(cost(tuning));
      if (measured != nullptr) ++*measured;
    }
    search.learn(seconds);
  }
  return search;
}

double distance(uint32_t a, uint32_t b) { return std::abs(std::log2(double(a) / b)); }

TEST(MatmulSearch, FindsTheBestOfEveryField) {
  const Tuning table;
  const auto cost = [](const Tuning& t) {
    if (t.few_tokens_limit < 1) return 10.0;
    return 1 + distance(t.gate_up.split, 4) + distance(t.gate_up.rows, 1) + distance(t.gate_up.subgroups, 16) +
           distance(t.gate_up.cluster, 32);
  };
  uint32_t measured = 0;
  const auto found =
      search(table, {{}, force_path(MatmulPath::few), force_path(MatmulPath::matrix)}, 1, true, cost, &measured);
  EXPECT_EQ(
      found.best(),
      (TuningChanges{{"gate_up.split", 4}, {"gate_up.rows", 1}, {"gate_up.subgroups", 16}, {"gate_up.cluster", 32}}));
  EXPECT_DOUBLE_EQ(found.best_seconds(), 1);
  EXPECT_DOUBLE_EQ(found.table_seconds(), cost(table));
  EXPECT_LT(measured, 25U) << "one field after another, not all combinations";
}

TEST(MatmulSearch, VariesTheFieldsOfThePathThatWins) {
  const Tuning table;  // 16 tokens take the few-token shaders
  const auto cost = [](const Tuning& t) {
    if (path_of(t, 16) != MatmulPath::matrix) return 5.0;
    return 1 + distance(t.matrix16.tile_rows, 128) + distance(t.matrix16.buffers, 1);
  };
  const auto found = search(table, {{}, force_path(MatmulPath::matrix)}, 16, true, cost);
  Tuning tuning = table;
  ASSERT_TRUE(change_tuning(found.best(), tuning));
  EXPECT_EQ(path_of(tuning, 16), MatmulPath::matrix);
  EXPECT_EQ(tuning.matrix16.tile_rows, 128U);
  EXPECT_EQ(tuning.matrix16.buffers, 1U);
}

TEST(MatmulSearch, KeepsTheTableWhereNothingIsClearlyBetter) {
  const auto cost = [](const Tuning& t) { return t.gate_up.split == 4 ? 0.99 : 1.0; };
  EXPECT_TRUE(search(Tuning(), {{}, force_path(MatmulPath::few)}, 1, true, cost).best().empty());
}

/// Small gains that came of noise would add up to a loss.
TEST(MatmulSearch, ComparesItsWinnerWithTheTableOnceMore) {
  uint32_t calls = 0;
  const auto cost = [&](const Tuning& t) {
    const bool is_first_split = t.gate_up.split == 2 && calls++ == 0;
    return is_first_split ? 0.5 : t.gate_up.split == 2 ? 1.1 : 1.0 + 0.01 * t.gate_up.split;
  };
  const auto found = search(Tuning(), {{}}, 1, true, cost);
  EXPECT_TRUE(found.best().empty()) << text_of(found.best());
  EXPECT_DOUBLE_EQ(found.best_seconds(), found.table_seconds());
}

TEST(MatmulSearch, OnlyComparesStartsWhenItShallNotDescend) {
  uint32_t measured = 0;
  const auto cost = [](const Tuning& t) { return path_of(t, 12) == MatmulPath::few ? 2.0 : 1.0; };
  const auto found = search(Tuning(), {{}, force_path(MatmulPath::matrix)}, 12, false, cost, &measured);
  EXPECT_EQ(found.best(), force_path(MatmulPath::matrix));
  EXPECT_EQ(measured, 2U);
}

/// A clock that falls between two rounds slows the best of the round before too, which is why it is measured again.
TEST(MatmulSearch, IsNotFooledByAClockThatFalls) {
  double clock = 1;
  const auto cost = [&](const Tuning& t) {
    clock *= 1.001;
    return clock * (1 + distance(t.gate_up.split, 8) + distance(t.gate_up.rows, 2));
  };
  const auto found = search(Tuning(), {{}}, 1, true, cost);
  EXPECT_EQ(found.best(), (TuningChanges{{"gate_up.split", 8}, {"gate_up.rows", 2}}));
}

/// Too few registers for one more workgroup make a cliff, behind which a field's best value is another one's worst.
TEST(MatmulSearch, BeginsWhereOneFieldAfterAnotherDoesNotLead) {
  const auto cost = [](const Tuning& t) {
    if (path_of(t, 48) != MatmulPath::fragments) return 5.0;
    const FragmentTuning& f = t.fragments;
    if (f.joined == 64 && f.pieces == 16) return f.teams == 4 ? 1.0 : 4.0;
    return f.joined == 64 ? 3.0 : 2.0 + 0.1 * distance(f.teams, 8);
  };
  const auto found = search(Tuning(), fragment_starts("gate_up", 48), 48, true, cost);
  EXPECT_DOUBLE_EQ(found.best_seconds(), 1);
}

TEST(MatmulSearch, EveryStartOnFragmentsIsATuningOfItsOwn) {
  for (const char* group : {"gate_up", "linear"}) {
    for (const uint32_t tokens : {3U, 48U, 512U}) {
      std::set<TuningChanges> all;
      for (const TuningChanges& start : fragment_starts(group, tokens)) {
        Tuning tuning;
        ASSERT_TRUE(change_tuning(start, tuning)) << text_of(start);
        EXPECT_EQ(path_of(tuning, tokens), MatmulPath::fragments);
        EXPECT_TRUE(all.insert(start).second) << text_of(start);
      }
    }
  }
}

/// The table's way of waiting ends at 32 tokens; where it won there, it is tried at 40, too.
TEST(MatmulSearch, WhatWonIsAStartAsItWas) {
  Tuning table;
  table.fragments.from_tokens = 4;
  table.fragments.joined = 32;
  for (const uint32_t tokens : {32U, 40U}) {
    const auto start = start_from(table, tokens, {{"fragments.teams", 12}});
    ASSERT_TRUE(start);
    EXPECT_EQ(start->path, MatmulPath::fragments);
    Tuning tuning = table;
    ASSERT_TRUE(change_tuning(start->changes, tuning));
    EXPECT_EQ(tuning.fragments.teams, 12U);
    for (const uint32_t other : {24U, 48U}) EXPECT_EQ(other <= tuning.fragments.joined, tokens == 32);
  }
  EXPECT_EQ(start_from(table, 2, {})->path, MatmulPath::few);
  EXPECT_FALSE(start_from(table, 2, {{"fragments.nothing", 1}}));
}

TEST(MatmulSearch, EveryAxisIsAField) {
  const TuningChanges fields = all_fields(Tuning());
  for (const MatmulPath path : {MatmulPath::few, MatmulPath::matrix, MatmulPath::tiled, MatmulPath::decoded_matrix,
                                MatmulPath::workgroup_matrix, MatmulPath::fragments}) {
    for (const char* group : {"linear", "short_linear", "logits", "gate_up"}) {
      for (const uint32_t tokens : {1U, 16U, 32U, 64U, 512U}) {
        for (const TuningAxis& axis : axes_of(path, group, tokens)) EXPECT_TRUE(fields.contains(axis.field));
      }
    }
    EXPECT_EQ(path_of(
                  [&] {
                    Tuning tuning;
                    EXPECT_TRUE(change_tuning(force_path(path), tuning));
                    return tuning;
                  }(),
                  16),
              path);
  }
}

}  // namespace
}  // namespace hearth::vulkan
