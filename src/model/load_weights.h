#pragma once

#include <stop_token>
#include <vector>

#include "base/progress.h"
#include "base/result.h"
#include "device/device.h"
#include "formats/checkpoint.h"
#include "model/families/family.h"
#include "model/forward.h"

namespace hearth {

/// The matrices that load_weights declares, embedding first, head last. Errors: not_found, corrupt (shape).
Result<std::vector<MatrixSpec>> list_matrices(const Checkpoint& checkpoint, const DecoderDescription& description);

/// Finds every tensor that the description names, checks its shape, reserves it on the device, then reads all of them
/// with a few threads in pieces of some MiB. Reports stage "plan", then "load" with bytes and layer.
/// Errors name the tensor: not_found, unsupported, corrupt (shape, non-finite scale), io, out_of_memory, cancelled.
Result<DecoderWeights> load_weights(const Checkpoint& checkpoint, const DecoderDescription& description, Device& device,
                                    ProgressSink& progress, std::stop_token stop);

}  // namespace hearth
