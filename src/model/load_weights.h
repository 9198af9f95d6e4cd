#pragma once

#include <chrono>
#include <set>
#include <stop_token>
#include <string>
#include <vector>

#include "base/progress.h"
#include "base/result.h"
#include "device/device.h"
#include "formats/checkpoint.h"
#include "model/decoder_weights.h"
#include "model/families/family.h"
#include "model/weight_reader.h"

namespace hearth {

/// A decoder's weights, and what of a checkpoint they are.
struct WeightList {
  DecoderWeights weights;
  std::vector<MatrixSpec> matrices;          ///< as declared, by MatrixId on a device that holds nothing else
  std::set<std::string, std::less<>> names;  ///< of all tensors that are read
};
/// What load_weights would take. Errors: not_found, corrupt (shape).
Result<WeightList> list_weights(const Checkpoint& checkpoint, const DecoderDescription& description);

/// Finds every tensor that the description names, checks its shape, reserves it on the device, then reads all of them
/// (weight_reader.h). Reports stage "plan", then "read" with bytes and layer. Errors name the tensor or the place in a
/// file: not_found, unsupported, corrupt (shape, non-finite scale, changed file), io, out_of_memory, cancelled,
/// timed_out (ReadOptions).
Result<WeightList> load_weights(const Checkpoint& checkpoint, const DecoderDescription& description, Device& device,
                                const ReadOptions& options, ProgressSink& progress, const std::stop_token& stop);

}  // namespace hearth
