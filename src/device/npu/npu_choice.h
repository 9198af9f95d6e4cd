#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace hearth {

/// By what a product goes to the NPU.
enum class NpuPreference : uint8_t {
  speed,  ///< where it is done sooner
  power,  ///< where it takes less energy
};

/// One product of a program for one count of tokens, done both ways on this machine.
struct NpuComparison {
  std::string product;  ///< cpu::OffloadCandidate::name
  uint32_t count = 0;   ///< products of the program that are alike
  uint32_t tokens = 0;
  double processor_seconds = 0, npu_seconds = 0;
  std::optional<double> processor_joules,
      npu_joules;  ///< of all that the package does meanwhile; where it was measured
};

/// Whether the NPU takes what was compared. Of equals the processor keeps it.
bool npu_is_better(const NpuComparison& comparison, NpuPreference preference);

/// Fewer tokens than this are never the NPU's: these are steps of answers.
inline constexpr uint32_t kLeastNpuTokens = 64;

/// Counts that are compared for a program with steps of so many tokens: doubling, up to 512 or the largest step.
std::vector<uint32_t> npu_token_counts(uint32_t most_tokens);

/// What was compared so far, and which products go to the NPU by that.
class NpuChoice {
 public:
  explicit NpuChoice(NpuPreference preference) : preference_(preference) {}

  void add(NpuComparison comparison) { comparisons_.push_back(std::move(comparison)); }

  bool is_known(std::string_view product, uint32_t tokens) const;

  /// Of two neighbouring counts that were compared both must have been better on the NPU for what lies between them;
  /// the largest stands for all beyond it. What was not compared stays with the processor.
  bool takes(std::string_view product, size_t tokens) const;

  /// For any count.
  bool takes_some(std::string_view product) const;

  NpuPreference preference() const { return preference_; }
  const std::vector<NpuComparison>& comparisons() const { return comparisons_; }

 private:
  const NpuPreference preference_;
  std::vector<NpuComparison> comparisons_;
};

}  // namespace hearth
