#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <vector>

#include "device/vulkan/measuring/matmul_search.h"
#include "device/vulkan/measuring/trial_timer.h"
#include "device/vulkan/pipelines/pipeline_job.h"
#include "device/vulkan/recording/program.h"

namespace hearth::vulkan {

/// What tuning has done.
struct TuningReport {
  uint32_t shapes = 0;    ///< of matmuls that the program has
  uint32_t measured = 0;  ///< choices, each for a shape and a count of tokens
  uint32_t missing = 0;   ///< for which the time did not suffice
  double seconds = 0;
};

/// Measures, with the program's own matrices, how its matmuls run best where `kept` does not say it yet; the counts of
/// tokens that matter most come first. What loses is compiled aside and forgotten with the tuner. Other threads
/// compile, on when it is interrupted, and it waits for them in the end. For the program's thread; outlived by the
/// program and `kept`.
class MatmulTuner {
 public:
  /// Begins nothing new after `seconds` of measuring, which a pipeline that takes long to compile may exceed.
  MatmulTuner(VulkanProgram& program, double seconds, MeasuredTunings& kept);

  enum class Progress : uint8_t {
    interrupted,
    chosen,  ///< a count of tokens has its choices: `kept` has them, and the program with all that its steps need
    ended,
  };

  /// Goes on where it was; a measurement that was interrupted is made again. Steps must not be in flight. Returns after
  /// one run of one trial once `is_interrupted` answers true. Errors, which end it: unsupported (no timestamps),
  /// out_of_memory, device_lost.
  Result<Progress> go_on(const IsInterrupted& is_interrupted);

  const TuningReport& report() const { return report_; }

 private:
  using Clock = std::chrono::steady_clock;

  /// What is to do next.
  enum class Stage : uint8_t { begin, warm_up_pipelines, choose, compile, measure, conclude, take_over, ended };

  /// A search on its way, and what it has measured.
  struct Work {
    const TuningTarget* target = nullptr;
    uint32_t tokens = 1;
    MatmulSearch search;
    std::set<std::vector<PipelineKey>> seen = {};  ///< what candidates launch; many come to the same
    std::vector<size_t> chosen = {};               ///< candidates to be measured now
  };

  // Each a piece of a stage, as much as is done without being interrupted; goes on to the next stage at its end.
  Result<void> begin();
  Result<void> prepare();
  Result<void> choose();
  Result<void> measure_next(const IsInterrupted& is_interrupted);
  Result<void> conclude();
  Result<void> take_over();
  Result<void> do_piece(const IsInterrupted& is_interrupted);

  bool wants(const TuningTarget& target, uint32_t tokens) const;
  MatmulTrial trial(const TuningTarget& target, uint32_t tokens, const TuningChanges& changes) const;
  Result<std::vector<size_t>> choose_new(Work& work);
  Result<bool> measure(Work& work, const IsInterrupted& is_interrupted);
  Result<bool> await_pipelines(const IsInterrupted& is_interrupted);
  Result<bool> warm_up(const IsInterrupted& is_interrupted);
  Result<void> keep_busy(const IsInterrupted& is_interrupted);
  bool late() const { return report_.seconds > seconds_; }

  VulkanProgram& program_;
  const bool is_processor_;
  const double seconds_;
  MeasuredTunings& kept_;
  const std::vector<TuningTarget> targets_;
  TuningReport report_;
  Stage stage_ = Stage::begin;
  size_t count_ = 0;         ///< of tuned_counts
  std::vector<Work> works_;  ///< of that count
  size_t next_work_ = 0;
  std::set<PipelineKey> keys_;  ///< of candidates that are to be compiled
  bool is_first_step_ = true;
  bool can_keep_busy_ = false;
  std::optional<Clock::time_point> busy_since_;  ///< in this call
  std::unique_ptr<Pipelines> pipelines_;         ///< of all candidates, the losers too
  std::optional<TrialTimer> timer_;
  std::optional<PipelineJob> job_;  ///< last: it uses pipelines
};

}  // namespace hearth::vulkan
