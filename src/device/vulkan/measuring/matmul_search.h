#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "device/vulkan/paths/tuning.h"

namespace hearth::vulkan {

/// The ways to run a matmul that are worth comparing.
enum class MatmulPath : uint8_t {
  few,               ///< *_few.comp
  matrix,            ///< *_matrix.comp
  tiled,             ///< *_many.comp
  decoded_matrix,    ///< *_decoded_matrix.comp
  workgroup_matrix,  ///< *_workgroup_matrix.comp
  fragments,         ///< *_fragments.comp
};

/// The path that a tuning takes for so many tokens, where device and encoding allow it.
MatmulPath path_of(const Tuning& tuning, uint32_t tokens);

/// Changes that force a path.
TuningChanges force_path(MatmulPath path);

/// A field and the values that it may take.
struct TuningAxis {
  std::string field;
  std::vector<uint32_t> values;
};

/// What a sweep varies on a path, in this order. `few_group` is the field of Tuning that holds the matmul's
/// FewTokensTuning, such as "gate_up".
std::vector<TuningAxis> axes_of(MatmulPath path, const std::string& few_group, uint32_t tokens);

/// Shapes of matrices filled in registers to begin with: as the table has them, and, up to so many tokens as have a
/// kernel of their own, those that varying one field after another does not lead to.
std::vector<TuningChanges> fragment_starts(const std::string& few_group, uint32_t tokens);

/// What won at `tokens` tokens, as a start for other counts: what `table` says of that count alone is said outright.
/// Nothing where a name is no field's.
struct NeighbourStart {
  MatmulPath path;
  TuningChanges changes;
};
std::optional<NeighbourStart> start_from(const Tuning& table, uint32_t tokens, const TuningChanges& best);

/// Looks for the quickest tuning of one matmul at one count of tokens: first the starting points, then from the best of
/// them one field after another, keeping what is better each time (coordinate descent), and in the end the winner
/// beside the table's choice once more. Measures nothing itself.
class MatmulSearch {
 public:
  /// A candidate must be so much quicker than the best so far to replace it, because clocks are not exact.
  static constexpr double kGain = 0.98;

  /// The first start is the table's choice (no changes). Without `descend` there are only the starts.
  MatmulSearch(const Tuning& table, std::vector<TuningChanges> starts, std::string few_group, uint32_t tokens,
               bool descend);

  /// What to measure next, the best so far first; empty when the search has ended.
  const std::vector<TuningChanges>& candidates() const { return candidates_; }

  /// The seconds of each of candidates(), all measured side by side; infinity for one that is not worth measuring.
  void learn(const std::vector<double>& seconds);

  const TuningChanges& best() const { return best_; }
  double best_seconds() const { return best_seconds_; }
  double table_seconds() const { return table_seconds_; }

 private:
  enum class Stage : uint8_t { start, descent, check };

  void next_axis();
  Tuning applied(const TuningChanges& changes) const;

  const Tuning table_;
  const std::string few_group_;
  const uint32_t tokens_;
  const bool descend_;
  Stage stage_ = Stage::start;
  std::vector<TuningChanges> candidates_;
  std::vector<TuningAxis> axes_;  // those not yet varied, the next one last
  TuningChanges best_;
  double best_seconds_ = 0, table_seconds_ = 0;  // 0 before anything was learnt
};

}  // namespace hearth::vulkan
