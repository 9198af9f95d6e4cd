#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"

namespace hearth {

/// How a program runs the operations of one kind and shape, for one size of step.
struct OperationChoice {
  std::string operation;  ///< such as "gate_up 5376 to 21504 q4_0"
  uint32_t count = 0;     ///< operations of the recording that are alike
  uint32_t tokens = 0;    ///< of the step; it holds for smaller steps down to the next lower count that is listed
  bool prompt = false;    ///< sequences bring several tokens each
  /// What is launched, with its settings as they were made to fit the device.
  std::vector<std::string> launches;
  std::string origin;             ///< of the settings: "table", "forced", "kept" or "measured"
  std::string tuning;             ///< what a measured choice changes in the table, "name=value,..."
  double microseconds = 0;        ///< of one, when it was measured; 0 where it was not
  double table_microseconds = 0;  ///< as the table would have it
};

/// A program that chooses between ways to run its operations, and tells which.
class ExplainedProgram {
 public:
  virtual ~ExplainedProgram() = default;

  /// For every size of step within its limits; operations in the recording's order, then by tokens.
  virtual Result<std::vector<OperationChoice>> choices() = 0;
};

}  // namespace hearth
