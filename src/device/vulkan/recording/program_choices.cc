#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "device/operation_uses.h"
#include "device/vulkan/pipelines/pipeline_name.h"
#include "device/vulkan/recording/program.h"

namespace hearth::vulkan {
namespace {

std::string name_of(const Recording& recording, const Weights& weights, const Operation& operation) {
  if (std::string shape = matmul_shape(recording, weights, operation); !shape.empty()) return shape;
  return std::visit(
      Overloaded{[](const Attention& op) {
                   const std::string heads =
                       fmt::format("attention {}/{} heads of {}", op.heads, op.kv_heads, op.head_dim);
                   return op.window > 0 ? fmt::format("{}, window {}", heads, op.window) : heads;
                 },
                 [](const AddNorm& op) { return std::string(op.branch ? "add and norm" : "norm"); },
                 [](const RopeAndStore&) { return std::string("rope and store"); },
                 [](const SelectRows&) { return std::string("select rows"); },
                 [](const OneOf<Embed, Linear, Activate, GateUp, ChooseExperts, ExpertGateUp, ExpertLinear,
                                CombineExperts, CausalConvolution, LinearAttention, GatedNorm, Gate, StoreLatents,
                                HeadLinear, LatentAttention, Logits> auto& op) { return std::string(op.kName); }},
      operation);
}

/// Operations of one kind and shape, of which the first speaks for all.
struct Kind {
  std::string name;
  uint32_t first = 0;  ///< of the recording
  uint32_t count = 0;
  bool logit_rows = false;
  bool matmul = false;
};

std::vector<Kind> kinds_of(const Recording& recording, const Weights& weights) {
  std::vector<Kind> kinds;
  for (uint32_t i = 0; i < recording.operations.size(); ++i) {
    const Operation& operation = recording.operations[i];
    const std::string name = name_of(recording, weights, operation);
    auto kind = std::ranges::find(kinds, name, &Kind::name);
    if (kind == kinds.end()) {
      kind = kinds.insert(kind, {.name = name,
                                 .first = i,
                                 .logit_rows = rows_of(recording, operation) == Rows::logits,
                                 .matmul = !matmul_shape(recording, weights, operation).empty()});
    }
    ++kind->count;
  }
  return kinds;
}

}  // namespace

OperationChoice VulkanProgram::choice(std::string name, bool is_matmul, uint32_t tokens) const {
  OperationChoice choice = {.operation = std::move(name), .tokens = tokens};
  const TuningOrigin origin = is_matmul ? matmuls_.origin(choice.operation, tokens) : matmuls_.other_origin();
  choice.origin = vulkan::name_of(origin);
  if (const MeasuredTuning* measured = matmuls_.measured(choice.operation, tokens)) {
    choice.tuning = vulkan::text_of(measured->changes);
    choice.microseconds = measured->seconds * 1e6;
    choice.table_microseconds = measured->table_seconds * 1e6;
  }
  return choice;
}

Result<std::vector<OperationChoice>> VulkanProgram::choices() {
  const std::vector<Kind> kinds = kinds_of(recording_, weights_);
  std::vector<std::vector<OperationChoice>> by_kind(kinds.size());
  const uint32_t most = bucket_of(limits_.tokens);
  for (const bool prompt : {false, true}) {
    const uint32_t last = prompt ? most : std::min(most, bucket_of(limits_.sequences));
    for (uint32_t tokens = prompt ? 2 : 1; tokens <= last; tokens = bucket_of(tokens + 1)) {
      const uint32_t rows = prompt ? 0 : std::min(logit_rows_, tokens);
      auto listed = statistics(tokens, rows, prompt ? Mix::prompts : Mix::single_tokens);
      if (!listed) return pass_on(listed);
      for (size_t k = 0; k < kinds.size(); ++k) {
        const Kind& kind = kinds[k];
        if (prompt && kind.logit_rows) continue;
        OperationChoice choice = this->choice(kind.name, kind.matmul, kind.logit_rows ? rows : tokens);
        choice.count = kind.count;
        choice.prompt = prompt;
        for (const Launch& launch : listed->launches) {
          if (launch.operation == kind.first) choice.launches.push_back(pipeline_name(launch.key));
        }
        // Few operations ask who brings the tokens, and what is fused into another one has no launch of its own.
        const auto is_same = [&](const OperationChoice& other) {
          return other.tokens == choice.tokens && other.launches == choice.launches;
        };
        const bool known = std::ranges::any_of(by_kind[k], is_same);
        if (!choice.launches.empty() && !known) by_kind[k].push_back(std::move(choice));
      }
    }
  }
  std::vector<OperationChoice> all;
  for (auto& of_kind : by_kind) std::ranges::move(of_kind, std::back_inserter(all));
  return all;
}

}  // namespace hearth::vulkan
