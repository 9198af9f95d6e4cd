#pragma once

#include "device/device.h"

namespace hearth {

/// For whoever measures a program: its tuning at once, however long it takes. All weights must be there. Errors: as
/// Program::tune.
inline Result<void> tune_to_end(Program& program) {
  for (;;) {
    Result<bool> left = program.tune([] { return false; });
    if (!left) return pass_on(left);
    if (!*left) return {};
  }
}

}  // namespace hearth
