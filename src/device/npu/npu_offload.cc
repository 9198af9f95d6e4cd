#include "device/npu/npu_offload.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>

#include "device/cpu/step_context.h"
#include "device/npu/npu_kernel_check.h"

namespace hearth {

Result<std::unique_ptr<NpuOffload>> NpuOffload::create(std::unique_ptr<NpuRuntime> runtime,
                                                       std::vector<NpuKernelSpec> kernels, NpuUse use) {
  std::unique_ptr<NpuOffload> offload(new NpuOffload(std::move(runtime), std::move(use)));
  for (const NpuKernelSpec& spec : kernels) {
    auto kernel = offload->runtime_->load(spec.files);
    if (!kernel) return pass_on(kernel);
    if (auto right = check_npu_kernel(*offload->runtime_, *kernel, spec); !right) return pass_on(right);
    offload->multipliers_.push_back(std::make_unique<NpuMultiplier>(*offload->runtime_, spec, std::move(*kernel)));
  }
  offload->kernels_ = std::move(kernels);
  return offload;
}

std::string NpuOffload::description() const {
  return fmt::format("prompts where they are {} on the NPU {}, by {} kernel{}",
                     use_.prefer == NpuPreference::speed ? "faster" : "cheaper", use_.name, kernels_.size(),
                     kernels_.size() == 1 ? "" : "s");
}

std::vector<std::string> NpuOffload::kernel_names() const {
  std::vector<std::string> names;
  names.reserve(kernels_.size());
  for (const NpuKernelSpec& kernel : kernels_) names.push_back(name_of(kernel));
  return names;
}

uint64_t NpuOffload::promised_bytes() const {
  const uint64_t most = memory_bytes_, copied = copied_bytes_;
  return most - std::min(most, copied);
}

bool NpuOffload::takes(MatrixId weight, size_t tokens) const {
  if (lost_) return false;
  if (use_.takes_from_tokens) return tokens >= *use_.takes_from_tokens;
  return tokens >= kLeastNpuTokens && copies_.contains(weight.index) &&
         choice_.takes(products_.at(weight.index), tokens);
}

bool NpuOffload::multiply(const cpu::CpuStorage& storage, MatrixId weight, const float* in, size_t tokens,
                          const cpu::TakeProducts& take) {
  if (lost_) return false;
  const auto copy = copy_of(storage, weight);
  if (!copy) {
    give_up(copy.error());
    return false;
  }
  if (*copy == nullptr) return false;
  NpuMultiplier& multiplier = *multipliers_[(*copy)->multiplier];
  auto multiplied = multiplier.multiply((*copy)->weights, in, tokens, storage.pool, take);
  uint64_t working_bytes = 0;
  for (const auto& each : multipliers_) working_bytes += each->working_bytes();
  working_entry_ = storage.ledger.enter(MemoryOwner::staging, working_bytes);
  if (!multiplied) give_up(std::move(multiplied.error()));
  return multiplied.has_value();
}

/// Makes the copy where there is none; null where the memory does not hold it.
Result<NpuOffload::Copy*> NpuOffload::copy_of(const cpu::CpuStorage& storage, MatrixId weight) {
  if (const auto found = copies_.find(weight.index); found != copies_.end()) return &found->second;
  const cpu::PackedMatrix& matrix = storage.matrices[weight.index];
  const size_t best = best_kernel(kernels_, matrix.rows(), matrix.cols());
  const uint64_t bytes = multipliers_[best]->weight_bytes(matrix.rows(), matrix.cols());
  if (bytes > promised_bytes()) return nullptr;
  auto weights = multipliers_[best]->convert(matrix, storage.pool);
  if (!weights && weights.error().code == ErrorCode::out_of_memory) {
    spdlog::warn("the NPU gets copies of weights of {} MiB and no more: {}", copied_bytes_ >> 20,
                 to_string(weights.error()));
    memory_bytes_ = copied_bytes_.load();
    return nullptr;
  }
  if (!weights) return pass_on(weights);
  copied_bytes_ += bytes;
  Copy copy{
      .multiplier = best, .weights = std::move(*weights), .entry = storage.ledger.enter(MemoryOwner::weights, bytes)};
  return &copies_.emplace(weight.index, std::move(copy)).first->second;
}

void NpuOffload::drop(MatrixId weight) {
  const auto found = copies_.find(weight.index);
  if (found == copies_.end()) return;
  const NpuWeights& weights = found->second.weights;
  copied_bytes_ -= multipliers_[found->second.multiplier]->weight_bytes(weights.rows, weights.cols);
  copies_.erase(found);
}

void NpuOffload::give_up(Error why) {
  spdlog::warn("the NPU is not used any more, the processor goes on alone: {}", to_string(why));
  lost_ = std::move(why);
}

std::vector<OperationChoice> NpuOffload::choices() const {
  std::vector<OperationChoice> choices;
  for (const NpuComparison& each : choice_.comparisons()) {
    const bool on_npu = npu_is_better(each, use_.prefer);
    choices.push_back({.operation = each.product,
                       .count = each.count,
                       .tokens = each.tokens,
                       .prompt = true,
                       .launches = {on_npu ? "npu" : "cpu"},
                       .origin = "measured",
                       .tuning = on_npu ? "npu" : "",
                       .microseconds = 1e6 * (on_npu ? each.npu_seconds : each.processor_seconds),
                       .table_microseconds = 1e6 * each.processor_seconds});
  }
  return choices;
}

}  // namespace hearth
