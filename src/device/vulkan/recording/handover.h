#pragma once

#include <span>
#include <vector>

#include "device/device.h"
#include "device/vulkan/memory/activations.h"
#include "device/vulkan/memory/memory.h"
#include "device/vulkan/recording/command_recorder.h"
#include "device/vulkan/recording/step_recorder.h"

namespace hearth::vulkan {

/// Activations on their way between a step and the host: mapped memory for all of Recording::inputs and outputs, and
/// copies between it and the activation arena at the ends of a recording. One for each step in flight. Shaders do not
/// read the mapped memory themselves: it lies beyond the bus where the GPU has a memory of its own.
class Handover {
 public:
  /// `token_rows` and `logit_rows` are the most rows that a tensor of each kind can have.
  Result<void> create(const Gpu& gpu, const Recording& recording, uint32_t token_rows, uint32_t logit_rows);

  /// Puts in what a step brings (check_activations).
  void write(const Recording& recording, const StepInput& input);

  /// Copies rows of a bucket in; everything before has joined (CommandRecorder::join_earlier).
  void record_inputs(const Recording& recording, const Bucket& bucket, const Activations& activations,
                     CommandRecorder& commands) const;

  /// Copies rows of a bucket out.
  void record_outputs(const Recording& recording, const Bucket& bucket, const Activations& activations,
                      CommandRecorder& commands) const;

  /// What a step of this shape left: for each of the outputs [rows, width].
  std::vector<std::span<const float>> read(const Recording& recording, uint32_t tokens, uint32_t logit_rows) const;

 private:
  std::vector<uint64_t> in_offsets_, out_offsets_;
  Buffer in_, out_;
};

}  // namespace hearth::vulkan
