#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "device/vulkan/buffer_pool.h"
#include "device/vulkan/step_recorder.h"

namespace hearth::vulkan {

/// Counts of one recorded step.
struct RecordingStatistics {
  uint32_t dispatches = 0;
  uint32_t barriers = 0;
  std::vector<Launch> launches;  ///< in order
};

/// Time of one dispatch of a step.
struct DispatchTime {
  std::string shader;
  Groups groups;
  uint32_t operation = 0;  ///< of the recording
  double microseconds = 0;
};

/// A forward pass as command buffers, one for each bucket of shapes, recorded when the bucket is first met and replayed
/// from then on. One submit for each step.
class VulkanProgram : public Program {
 public:
  static Result<std::unique_ptr<VulkanProgram>> create(Gpu& gpu, Pipelines& pipelines, const Tuning& tuning,
                                                       const Recording& recording, const Weights& weights,
                                                       const Cache& cache, const ProgramLimits& limits);
  ~VulkanProgram() override;

  Result<StepOutput> run(const StepInput& input) override;
  Result<StepProfile> profile(const StepInput& input) override;

  std::vector<BufferPoolStatistics> buffer_pools() const override { return gpu_.pool().statistics(); }

  /// Makes the pipelines of every bucket within the limits, so that none is made while tokens are.
  Result<void> prepare();

  /// As run, with a timestamp after each dispatch; each time includes the barrier before it.
  Result<std::vector<DispatchTime>> profile_dispatches(const StepInput& input) { return measure(input, nullptr); }

  /// Of the bucket of `tokens` and `logit_rows`. Makes no pipelines, records and runs nothing.
  Result<RecordingStatistics> statistics(uint32_t tokens, uint32_t logit_rows);

 private:
  struct Recorded {
    VkCommandBuffer commands = VK_NULL_HANDLE;
    uint32_t generation = 0;
  };

  VulkanProgram(Gpu& gpu, Pipelines& pipelines, const Tuning& tuning, Recording recording, const Weights& weights,
                const Cache& cache)
      : gpu_(gpu),
        pipelines_(pipelines),
        tuning_(tuning),
        recording_(std::move(recording)),
        weights_(weights),
        cache_(cache) {}
  Result<void> allocate(const ProgramLimits& limits);
  Result<void> make_rope_tables();
  Result<void> make_scratch(const ProgramLimits& limits);
  Result<Recorded*> recorded(const Bucket& bucket);
  Result<void> record(const Bucket& bucket, Recorded& recorded);
  Result<VkCommandBuffer> allocate_commands();
  Result<void> record_commands(const Bucket& bucket, CommandRecorder& commands);
  Result<void> submit_and_wait(VkCommandBuffer commands);
  Result<std::vector<DispatchTime>> measure(const StepInput& input, double* seconds);

  Gpu& gpu_;
  Pipelines& pipelines_;
  const Tuning tuning_;
  const Recording recording_;
  const Weights& weights_;
  const Cache& cache_;
  ProgramLimits limits_;
  uint32_t vocabulary_ = 0;
  Activations activations_;
  StepBuffer step_;
  std::vector<RopeTables> ropes_;
  AttentionScratch scratch_;
  Buffer rope_buffer_, scratch_buffer_, readback_;
  VkCommandPool pool_ = VK_NULL_HANDLE;
  VkFence fence_ = VK_NULL_HANDLE;
  std::map<Bucket, Recorded> recordings_;
};

}  // namespace hearth::vulkan
