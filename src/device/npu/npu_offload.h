#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "device/cpu/product_offload.h"
#include "device/memory_ledger.h"
#include "device/npu/npu_choice.h"
#include "device/npu/npu_multiplier.h"

namespace hearth {

/// What ways to multiply are compared by.
struct NpuMeter {
  std::function<double()> seconds;         ///< the time, from some moment on
  std::function<Result<double>()> joules;  ///< the energy, likewise; needed to prefer power
  double joules_seconds = 0;               ///< over which that means something
};

/// How an NPU is used.
struct NpuUse {
  std::string name;           ///< of the NPU
  uint64_t memory_bytes = 0;  ///< most of the host's memory for copies of weights
  NpuPreference prefer = NpuPreference::speed;
  NpuMeter meter;
  /// For tests: products of so many tokens and more, be they few, are its own without a comparison.
  std::optional<uint32_t> takes_from_tokens;
};

/// Products of prompts on an NPU. Weights are copied for it in bf16 as far as its memory goes; what then is left, what
/// was not measured to be better on it and steps of less than kLeastNpuTokens stay with the processor, and so does
/// everything from the first error on.
class NpuOffload final : public cpu::ProductOffload {
 public:
  /// Loads the kernels and checks what they compute. Errors: as NpuRuntime's and check_npu_kernel's.
  static Result<std::unique_ptr<NpuOffload>> create(std::unique_ptr<NpuRuntime> runtime,
                                                    std::vector<NpuKernelSpec> kernels, NpuUse use);

  std::string kind() const override { return "npu"; }
  std::string description() const override;
  uint64_t promised_bytes() const override;
  bool takes(MatrixId weight, size_t tokens) const override;
  bool multiply(const cpu::CpuStorage& storage, MatrixId weight, const float* in, size_t tokens,
                const cpu::TakeProducts& take) override;
  Result<bool> tune(const cpu::CpuStorage& storage, std::span<const cpu::OffloadCandidate> candidates,
                    const std::function<bool()>& is_interrupted) override;
  std::vector<OperationChoice> choices() const override;

  std::vector<std::string> kernel_names() const;
  const std::vector<NpuComparison>& comparisons() const { return choice_.comparisons(); }

  /// Why it is not used any more, where that is so.
  const std::optional<Error>& lost() const { return lost_; }

 private:
  /// A matrix's copy, and which of the multipliers reads it.
  struct Copy {
    size_t multiplier = 0;
    NpuWeights weights;
    MemoryLedger::Entry entry;
  };
  struct Measured {
    double seconds = 0;
    std::optional<double> joules;
  };
  enum class Progress : uint8_t { done, interrupted };

  NpuOffload(std::unique_ptr<NpuRuntime> runtime, NpuUse use)
      : use_(std::move(use)), runtime_(std::move(runtime)), memory_bytes_(use_.memory_bytes), choice_(use_.prefer) {}

  Result<Copy*> copy_of(const cpu::CpuStorage& storage, MatrixId weight);
  void drop(MatrixId weight);
  void give_up(Error why);
  Result<Progress> compare(const cpu::CpuStorage& storage, std::span<const cpu::OffloadCandidate> candidates,
                           const std::function<bool()>& is_interrupted);
  Result<Progress> compare_one(const cpu::OffloadCandidate& candidate, uint32_t count, uint32_t tokens,
                               const std::function<bool()>& is_interrupted);
  Result<std::optional<Measured>> measure(const cpu::OffloadCandidate& candidate, uint32_t tokens, bool offloaded,
                                          const std::function<bool()>& is_interrupted);
  Result<Progress> copy_chosen(const cpu::CpuStorage& storage, std::span<const cpu::OffloadCandidate> candidates,
                               const std::function<bool()>& is_interrupted);
  void log_choice() const;

  const NpuUse use_;
  std::unique_ptr<NpuRuntime> runtime_;  // outlives what follows
  std::vector<NpuKernelSpec> kernels_;
  std::vector<std::unique_ptr<NpuMultiplier>> multipliers_;  ///< for each of kernels_
  std::map<uint32_t, Copy> copies_;                          ///< by MatrixId
  std::map<uint32_t, std::string> products_;                 ///< by MatrixId: what choice_ calls its products
  std::atomic<uint64_t> memory_bytes_;  ///< that copies may take: less than use_ says where XRT refused more
  std::atomic<uint64_t> copied_bytes_ = 0;
  MemoryLedger::Entry working_entry_;  ///< of what goes in and comes out
  NpuChoice choice_;
  std::optional<Error> lost_;
  bool is_tuned_ = false;
};

}  // namespace hearth
