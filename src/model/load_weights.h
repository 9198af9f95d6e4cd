#pragma once

#include <memory>
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
#include "model/weight_plan.h"
#include "model/weight_reader.h"

namespace hearth {

/// A decoder's weights, and what of a checkpoint they are.
struct WeightList {
  DecoderWeights weights;
  std::vector<MatrixSpec> matrices;          ///< as declared, by MatrixId on a device that holds nothing else
  std::set<std::string, std::less<>> names;  ///< of all tensors that are read
  WeightUses uses;                           ///< in the memories that they were declared in
};
/// What declare_weights would take. Errors: not_found, corrupt (shape).
Result<WeightList> list_weights(const Checkpoint& checkpoint, const DecoderDescription& description);

/// Weights that a device has room for, and where their rows come from: what read_weights (weight_reader.h) needs.
struct DeclaredWeights {
  WeightList list;
  std::vector<WeightPlan::Source> sources;
  std::unique_ptr<ReadQueue> queue;
};

/// Finds every tensor that the description names, checks its shape, reserves it on the device, and reads vectors and
/// scalars. Reports stage "plan". Errors name the tensor or the place in a file: not_found, unsupported, corrupt
/// (shape), io, out_of_memory, cancelled, timed_out (ReadOptions).
Result<DeclaredWeights> declare_weights(const Checkpoint& checkpoint, const DecoderDescription& description,
                                        Device& device, const ReadOptions& options, ProgressSink& progress,
                                        const std::stop_token& stop);

}  // namespace hearth
