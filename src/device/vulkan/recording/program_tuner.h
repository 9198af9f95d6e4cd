#pragma once

#include <functional>

#include "base/result.h"

namespace hearth::vulkan {

/// Whether something waits that is more important; asked often.
using IsInterrupted = std::function<bool()>;

/// Finds out how a program's operations run best, a piece at a time. For the program's thread, while no step is in
/// flight; owned by the program.
class ProgramTuner {
 public:
  virtual ~ProgramTuner() = default;

  /// As Program::tune, with all weights there. Not to be called again once it has answered false, or an error.
  virtual Result<bool> go_on(const IsInterrupted& is_interrupted) = 0;
};

}  // namespace hearth::vulkan
