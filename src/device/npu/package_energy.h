#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

#include "base/result.h"

namespace hearth {

/// The energy that the processor's packages have taken, by the kernel's counters (powercap): cores, GPU and whatever
/// else the hardware counts to a package. Counters wrap; between two calls of joules() each may do so once.
class PackageEnergy {
 public:
  /// `root` replaces "/" in tests. Errors: unsupported (no counter, or one that this user may not read), with the
  /// command that mends it.
  static Result<PackageEnergy> find(const std::filesystem::path& root);

  /// Since `find`. Errors: io.
  Result<double> joules();

 private:
  struct Counter {
    std::filesystem::path file;
    uint64_t range_microjoules = 0;  ///< where it begins again from 0
    uint64_t last_microjoules = 0;
  };

  std::vector<Counter> counters_;
  uint64_t passed_microjoules_ = 0;
};

}  // namespace hearth
