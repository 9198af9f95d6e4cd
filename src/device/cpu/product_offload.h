#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "device/explained_program.h"
#include "device/operation.h"

namespace hearth::cpu {

struct CpuStorage;

/// Finished products: rows [first, first + count) of tokens, each of them the matrix's rows wide and `stride` floats
/// after the one before. Whoever takes them may write over them.
using TakeProducts = std::function<void(size_t first, size_t count, float* products, size_t stride)>;

/// A product of a program that can be run either way, so that the ways can be compared.
struct OffloadCandidate {
  MatrixId weight;
  std::string name;          ///< operation and shape: "gate_up 5376 to 43008 q4_0"; candidates of a name are alike
  uint32_t most_tokens = 0;  ///< of a step
  std::function<void(uint32_t tokens)> prepare;  ///< makes values up for it
  std::function<void(uint32_t tokens, bool offloaded)> run;
};

/// A unit beside the processor that takes products of prompts off its hands (Linear and GateUp, without bias and
/// activation). For one thread at a time, but for what is said to be thread-safe.
class ProductOffload {
 public:
  virtual ~ProductOffload() = default;

  virtual std::string kind() const = 0;         ///< DeviceInfo::kind of a device that has it
  virtual std::string description() const = 0;  ///< of unit and kernels, for people

  /// Of the host's memory that it may still take for copies of weights. Thread-safe.
  virtual uint64_t promised_bytes() const = 0;

  /// Whether a product of so many tokens goes to it, by what is known of it so far.
  virtual bool takes(MatrixId weight, size_t tokens) const = 0;

  /// in [tokens, cols] x weight [rows, cols]^T, handed over in order, some tokens at a time. False where it cannot be
  /// done, now or any more: then the processor has to do it all, whatever was handed over.
  virtual bool multiply(const CpuStorage& storage, MatrixId weight, const float* in, size_t tokens,
                        const TakeProducts& take) = 0;

  /// As Program::tune, for a program's products.
  virtual Result<bool> tune(const CpuStorage& storage, std::span<const OffloadCandidate> candidates,
                            const std::function<bool()>& is_interrupted) = 0;

  /// What was measured and chosen so far, as ExplainedProgram::choices.
  virtual std::vector<OperationChoice> choices() const = 0;
};

/// Who multiplies in a step.
enum class Offloading : uint8_t {
  as_known,  ///< what ProductOffload::takes says
  never,
  always,  ///< what can be offloaded
};

}  // namespace hearth::cpu
