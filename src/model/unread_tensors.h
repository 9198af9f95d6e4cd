#pragma once

#include "base/result.h"
#include "formats/checkpoint.h"
#include "model/families/family.h"

namespace hearth {

/// A tensor that nobody reads is a part of the model that would silently be missing. Errors: unsupported, naming the
/// first such tensor, except for those known not to matter, which a line of the log names.
Result<void> check_unread_tensors(const Checkpoint& checkpoint, const DecoderDescription& description);

}  // namespace hearth
