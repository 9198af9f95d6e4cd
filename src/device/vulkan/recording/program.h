#pragma once

#include <array>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <stop_token>
#include <string>
#include <vector>

#include "device/explained_program.h"
#include "device/vulkan/paths/tuning_targets.h"
#include "device/vulkan/recording/handover.h"
#include "device/vulkan/recording/program_tuner.h"
#include "device/vulkan/recording/step_recorder.h"
#include "device/vulkan/recording/step_work.h"
#include "device/weight_arrival.h"

namespace hearth::vulkan {

/// Counts of one recorded step.
struct RecordingStatistics {
  uint32_t dispatches = 0;
  uint32_t barriers = 0;
  uint32_t submits = 0;
  std::vector<Launch> launches;  ///< in order
};

/// Time of one dispatch of a step.
struct DispatchTime {
  std::string shader;
  Groups groups;
  uint32_t operation = 0;  ///< of the recording
  double microseconds = 0;
};

/// A forward pass as command buffers, recorded for each bucket of shapes when it is first met and replayed from then
/// on. One submit for each step, unless its work is so much that it is cut. Two steps may be in flight: the host writes
/// the input of one and reads the results of the other in slots that take turns, each with recordings of its own;
/// everything else is shared, and steps pass through it one after another.
class VulkanProgram : public Program, public ExplainedProgram {
 public:
  /// `tunings` with a base alone may be written as a Tuning.
  static Result<std::unique_ptr<VulkanProgram>> create(Gpu& gpu, Pipelines& pipelines, const MatmulTunings& tunings,
                                                       const Recording& recording, Weights& weights, const Cache& cache,
                                                       const ProgramLimits& limits);
  ~VulkanProgram() override;

  /// Bytes of memory like the activations' that create would allocate with these matrices.
  static Result<uint64_t> planned_bytes(const GpuProperties& gpu, const Tuning& tuning, const Recording& recording,
                                        std::span<const MatrixSpec> specs, const ProgramLimits& limits);
  /// Of staging, with a cache of so many blocks.
  static uint64_t planned_staging_bytes(const Recording& recording, const ProgramLimits& limits,
                                        std::span<const uint32_t> blocks_per_group);

  Result<void> submit(const StepInput& input) override;
  Result<StepOutput> wait() override;
  bool runs_ahead() const override { return true; }

  /// In one submit, and not while a step is in flight.
  Result<StepProfile> profile(const StepInput& input) override;

  /// program_expectation.cc: of the matmuls that were measured, as tuning measures them; empty where a shape was not.
  std::vector<double> expected_seconds(std::span<const uint32_t> tokens) override;

  /// program_tuning.cc: does nothing while weights are awaited.
  Result<bool> tune(const std::function<bool()>& is_interrupted) override;
  void set_tuner(std::unique_ptr<ProgramTuner> tuner) { tuner_ = std::move(tuner); }

  std::vector<BufferPoolStatistics> buffer_pools() const override { return weights_.pool().statistics(); }
  std::vector<DeviceMemoryUse> memory_use() const override { return {{gpu_.properties().name, gpu_.ledger().now()}}; }

  /// Rows are still being written: steps wait for them (program_arrival.cc).
  void await_weights();

  /// Makes the pipelines of every bucket within the limits, so that none is made while tokens are, and records the
  /// steps of greedy decoding, unless weights are awaited. Other steps are recorded when they are first met. Errors:
  /// cancelled (`stop`).
  Result<void> prepare(const std::stop_token& stop);

  /// program_choices.cc
  Result<std::vector<OperationChoice>> choices() override;

  /// As run, with a timestamp after each dispatch; each time includes the barrier before it.
  Result<std::vector<DispatchTime>> profile_dispatches(const StepInput& input) { return measure(input, nullptr); }

  // program_operations.cc: operations by themselves, for whoever measures them. `rows` is a bucket within the limits.

  /// What operations launch whose matmuls are tuned like this. Makes no pipelines and runs nothing.
  Result<std::vector<Launch>> launches(std::span<const uint32_t> operations, uint32_t rows, const Tuning& matmuls);

  /// The same of what brings the input of matmul `operation` into the forms that it finds in a step.
  Result<std::vector<Launch>> launches_of_input(uint32_t operation, uint32_t rows, const Tuning& matmuls);

  /// Records them, in the place of the next step.
  Result<void> record_operations(std::span<const uint32_t> operations, uint32_t rows, const Tuning& matmuls,
                                 CommandRecorder& commands);
  Result<void> record_input_of(uint32_t operation, uint32_t rows, const Tuning& matmuls, CommandRecorder& commands);

  Bucket bucket_of_rows(uint32_t rows) const;

  Result<VkCommandBuffer> allocate_commands();
  void free_commands(VkCommandBuffer commands) const;

  /// Runs what was recorded in the place of the next step, and waits. Not while a step is in flight; results of steps
  /// are lost. `what` names the work in errors.
  Result<void> run_commands(VkCommandBuffer commands, uint32_t rows, const std::string& what);
  bool is_idle() const { return in_flight_ == 0; }

  /// program_tuning.cc: what steps launch in which matmuls over `tokens` tokens take part, and more tokens where that
  /// count's choices speak for them, if these choices were taken. Makes no pipelines and runs nothing.
  Result<std::set<PipelineKey>> pipelines_with(const MeasuredTunings& measured, uint32_t tokens);

  /// Takes measured choices for later steps, whose commands are recorded anew when they are next met. Not while a step
  /// is in flight. Errors: as MatmulTunings::set.
  Result<void> set_matmuls(const MeasuredTunings& measured);
  const MatmulTunings& matmuls() const { return matmuls_; }

  const Recording& recording() const { return recording_; }
  const Weights& weights() const { return weights_; }
  const Activations& activations() const { return activations_; }
  const ProgramLimits& limits() const { return limits_; }
  Gpu& gpu() const { return gpu_; }
  Pipelines& pipelines() const { return pipelines_; }

  /// Of steps like this one. Makes no pipelines, records and runs nothing.
  Result<RecordingStatistics> statistics(const StepInput& input) { return statistics(bucket_for(input)); }

  /// Of steps in one submit that want the best candidates of all their rows of logits.
  Result<RecordingStatistics> statistics(uint32_t tokens, uint32_t logit_rows, Mix mix = Mix::single_tokens);

 private:
  struct Recorded {
    std::vector<VkCommandBuffer> commands;  ///< one for each submit
    uint32_t generation = 0;                ///< of the slot's step buffer; 0 when it must be recorded again
  };

  static constexpr size_t kSlots = 2;

  /// What each of the steps in flight has for itself.
  struct Slot {
    StepBuffer step;
    Handover handover;
    Buffer results;  ///< [logit rows][kMaxCandidates] TokenLogit, as the device leaves them
    VkFence fence = VK_NULL_HANDLE;
    std::map<Bucket, Recorded> recordings;
    uint32_t whole_rows = 0;               ///< of the step in flight
    std::vector<uint32_t> candidates;      ///< of each other row of it
    uint32_t tokens = 0, logit_rows = 0;   ///< likewise
    std::vector<VkCommandBuffer> passing;  ///< recorded for this step alone, as weights were awaited
  };

  VulkanProgram(Gpu& gpu, Pipelines& pipelines, const MatmulTunings& tunings, AttentionPlan attention,
                Recording recording, Weights& weights, const Cache& cache)
      : gpu_(gpu),
        pipelines_(pipelines),
        tuning_(tunings.base()),
        matmuls_(tunings),
        attention_(std::move(attention)),
        recording_(std::move(recording)),
        weights_(weights),
        cache_(cache),
        work_(recording_, weights, most_operations_of_submit(gpu, tunings.base()), pipelines.can_cut_launches()) {}
  Result<void> allocate(const ProgramLimits& limits);
  Result<void> make_rope_tables();
  Result<void> make_scratch(const ProgramLimits& limits);
  Result<void> make_slot(Slot& slot, const ProgramLimits& limits);
  Bucket bucket_for(const StepInput& input) const;
  Slot& oldest() { return slots_[(next_slot_ + slots_.size() - in_flight_) % slots_.size()]; }
  Result<void> write_input(Slot& slot, const StepInput& input);
  Result<Recorded*> recorded(Slot& slot, const Bucket& bucket);
  Result<void> prepare_pipelines(const std::stop_token& stop);
  Result<void> list_pipelines(uint32_t tokens, uint32_t logit_rows, std::set<PipelineKey>& keys);
  RecorderContext context(const MatmulTunings& matmuls);
  Result<void> record_decoding();
  Result<void> record(Slot& slot, const Bucket& bucket, Recorded& recorded);
  Result<void> record_one(Slot& slot, const Bucket& bucket, const StepPiece& piece, VkCommandBuffer commands);
  Result<void> await_all();
  Result<void> submit_recorded(Slot& slot, const Bucket& bucket);
  Result<void> submit_arriving(Slot& slot, const Bucket& bucket);
  Result<StepPiece> await_piece(const StepPiece& piece, size_t first);
  void settle(size_t first, size_t end);
  std::vector<StepPiece> cut(const Bucket& bucket) const;
  Result<void> record_piece(Slot& slot, const Bucket& bucket, const StepPiece& piece, CommandRecorder& commands);
  Result<RecordingStatistics> statistics(const Bucket& bucket);
  double expected_seconds(const TuningTarget& target, uint32_t tokens);
  double workgroups(uint32_t operation, uint32_t tokens, const Tuning& matmuls);
  OperationChoice choice(std::string name, bool is_matmul, uint32_t tokens) const;
  Result<void> wait_for(Slot& slot);
  Result<std::vector<DispatchTime>> measure(const StepInput& input, double* seconds);

  Gpu& gpu_;
  Pipelines& pipelines_;
  const Tuning tuning_;  ///< of all but matmuls
  MatmulTunings matmuls_;
  const AttentionPlan attention_;
  const Recording recording_;
  Weights& weights_;
  const Cache& cache_;
  const StepWork work_;
  AwaitedWeights awaited_;
  bool is_awaiting_ = false;  ///< until a step has begun with all weights there
  ProgramLimits limits_;
  uint32_t vocabulary_ = 0;
  uint32_t logit_rows_ = 0;  ///< of the largest bucket
  Activations activations_;
  std::vector<RopeTables> ropes_;
  PartsScratch scratch_;
  CandidatePlaces candidate_places_;
  Buffer rope_buffer_, scratch_buffer_, readback_;
  VkCommandPool pool_ = VK_NULL_HANDLE;
  std::array<Slot, kSlots> slots_;
  size_t next_slot_ = 0;
  size_t in_flight_ = 0;
  std::vector<TokenLogit> candidates_;                         ///< of the last output
  std::vector<std::span<const float>> activations_of_output_;  ///< likewise
  std::unique_ptr<ProgramTuner> tuner_;                        ///< null when nothing is left; it uses all of the above
};

}  // namespace hearth::vulkan
