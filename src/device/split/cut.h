#pragma once

#include <cstdint>
#include <vector>

#include "base/result.h"
#include "device/operation.h"

namespace hearth::split {

/// Where something lies: on which of the devices, and under which number there.
struct Place {
  uint32_t stage = 0;
  uint32_t index = 0;
};

/// Where weights and cache layers lie, by the numbers that operations know them by.
struct Places {
  std::vector<std::vector<Place>> matrices;  ///< by ascending stage; several where embedding and head are one
  std::vector<Place> vectors;
  std::vector<Place> cache_layers;
};

/// The part of a recording that one device runs, with the device's own numbers.
struct StageRecording {
  /// An output of an earlier stage that is an input of this one.
  struct Source {
    uint32_t stage = 0;
    uint32_t output = 0;
  };

  Recording recording;
  std::vector<Source> sources;       ///< of recording.inputs
  std::vector<uint32_t> operations;  ///< for each of its operations, the one of the whole recording
  bool uses_logit_rows = false;      ///< whether any of its tensors has rows of logits
};

/// Cuts a recording where the device that holds its operations' weights changes. Activations that are written before a
/// cut and read behind it become outputs and inputs; tensors keep their numbers. An AddNorm whose two norms lie on
/// both sides is cut in two, so that only the residual crosses between layers. Errors: internal (an operation needs an
/// earlier device than the one before it, a device has nothing to do, the recording itself has inputs or outputs).
Result<std::vector<StageRecording>> cut_recording(const Recording& whole, const Places& places, uint32_t stages);

}  // namespace hearth::split
