// A program's tuning: other ways to run its matmuls, taken over between steps.
#include <algorithm>

#include "device/vulkan/recording/program.h"

namespace hearth::vulkan {

Result<bool> VulkanProgram::tune(const std::function<bool()>& is_interrupted) {
  if (tuner_ == nullptr) return false;
  if (in_flight_ > 0) return fail(ErrorCode::internal, "tuning was asked for while a step is in flight");
  if (is_awaiting_ && awaited_.any()) return true;
  if (auto all = await_all(); !all) return pass_on(all);
  auto left = tuner_->go_on(is_interrupted);
  if (!left || !*left) tuner_.reset();  // and with it the pipelines that have lost
  return left;
}

Result<void> VulkanProgram::list_pipelines(uint32_t tokens, uint32_t logit_rows, std::set<PipelineKey>& keys) {
  for (const Mix mix : {Mix::single_tokens, Mix::apart, Mix::prompts, Mix::both}) {
    auto listed = statistics(tokens, logit_rows, mix);
    if (!listed) return pass_on(listed);
    for (const Launch& launch : listed->launches) keys.insert(launch.key);
  }
  return {};
}

Result<std::set<PipelineKey>> VulkanProgram::pipelines_with(const MeasuredTunings& measured, uint32_t tokens) {
  MatmulTunings others = matmuls_;
  if (auto set = others.set(measured); !set) return pass_on(set);
  const Bucket most = {bucket_of(limits_.tokens), bucket_of(limits_.logit_rows)};
  // Beyond the last count with kernels of its own a choice speaks for larger ones.
  const bool is_own = tokens <= MatmulTunings::kLastOwnKernel;
  const uint32_t last = is_own ? tokens : std::max(most.tokens, most.logit_rows);
  std::set<PipelineKey> keys;
  Result<void> listed;
  std::swap(matmuls_, others);
  for (uint32_t rows = tokens; rows <= last && listed; rows = bucket_of(rows + 1)) {
    listed = list_pipelines(std::min(rows, most.tokens), std::min(rows, most.logit_rows), keys);
  }
  std::swap(matmuls_, others);
  if (!listed) return pass_on(listed);
  return keys;
}

Result<void> VulkanProgram::set_matmuls(const MeasuredTunings& measured) {
  if (in_flight_ > 0) return fail(ErrorCode::internal, "matmuls were to change while a step is in flight");
  if (auto set = matmuls_.set(measured); !set) return set;
  for (Slot& slot : slots_) {
    for (auto& [bucket, recorded] : slot.recordings) recorded.generation = 0;
  }
  return {};
}

}  // namespace hearth::vulkan
