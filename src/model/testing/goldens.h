#pragma once

#include <cstdlib>
#include <filesystem>

#include "base/testing/source_folder.h"

namespace hearth {

/// The golden checkpoints, a folder for each family. HEARTH_GOLDENS names another place where a test runs away from its
/// source (tools/gpu_test).
inline std::filesystem::path goldens() {
  const char* elsewhere = std::getenv("HEARTH_GOLDENS");
  return elsewhere != nullptr ? elsewhere : source_folder() / "tests" / "golden";
}

}  // namespace hearth
