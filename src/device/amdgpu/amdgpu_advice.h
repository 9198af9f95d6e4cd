#pragma once

#include <string>
#include <vector>

#include "device/amdgpu/amdgpu_signs.h"

namespace hearth {

/// Something about a GPU's system that costs speed, memory or stability, and how to mend it.
struct Advice {
  std::string finding;  ///< a sentence without a final period
  std::string command;  ///< to type; where it only counts after the next boot, that is said
};

/// For one GPU of `system`, in order of weight; empty where all is well or nothing is known.
std::vector<Advice> advise(const AmdSystem& system, const AmdGpu& gpu);

}  // namespace hearth
