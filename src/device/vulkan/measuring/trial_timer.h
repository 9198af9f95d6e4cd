#pragma once

#include <cstdint>
#include <set>
#include <span>
#include <vector>

#include "device/vulkan/measuring/matmul_trial.h"
#include "device/vulkan/recording/program.h"

namespace hearth::vulkan {

/// Times trials of a program's matmuls, with its matrices and in the memory of its steps: not while one is in flight,
/// and results of steps are lost. Outlived by the program.
class TrialTimer {
 public:
  /// Makes the numbers of ordinary size that trials multiply. `pipelines` are those of all trials, apart from the
  /// program's own, as most of them lose. Errors: out_of_memory, device_lost.
  static Result<TrialTimer> create(VulkanProgram& program, Pipelines& pipelines);

  /// What a trial launches, and what makes its inputs.
  static Result<std::set<PipelineKey>> pipelines_of(VulkanProgram& program, const MatmulTrial& trial);

  /// Times trials by timestamps: they take turns for `rounds` rounds and at least `seconds` (which keep the clock up),
  /// so that what disturbs one disturbs all; of each operation the least counts, and of those the median. The last
  /// operation's result is compared with the first trial's. Empty where it was interrupted, for which one run of one
  /// trial is waited. Errors: unsupported (no timestamps), out_of_memory, device_lost.
  Result<std::vector<TrialTime>> time(std::span<const MatmulTrial> trials, uint32_t rounds, double seconds,
                                      const IsInterrupted& is_interrupted);

 private:
  struct TimedTrial;
  struct ResultPlace {
    bool bytes = false;
    uint64_t offset = 0, pairs = 0;  ///< in the activation arena
    uint64_t values = 0;
  };

  TrialTimer(VulkanProgram& program, Pipelines& pipelines) : program_(&program), pipelines_(&pipelines) {}
  ResultPlace result_place(const MatmulTrial& trial) const;
  Result<void> record_inputs(const MatmulTrial& trial, VkCommandBuffer commands);
  Result<void> record_timed(const MatmulTrial& trial, TimedTrial& timed);
  Result<void> run_timed(TimedTrial& timed, const ResultPlace& place);

  VulkanProgram* program_;
  Pipelines* pipelines_;
  Buffer inputs_;   ///< numbers of ordinary size
  Buffer results_;  ///< of the trial that ran last, for the host
};

}  // namespace hearth::vulkan
