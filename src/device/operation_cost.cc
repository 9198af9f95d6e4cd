#include "device/operation_cost.h"

#include <fmt/format.h>

#include <algorithm>

namespace hearth {
namespace {

class Costs {
 public:
  Costs(const Recording& recording, const Device& device, const StepInput& input)
      : recording_(recording), device_(device), input_(input) {}

  /// One row of the table for each token. Embeddings have as many rows as there are logits.
  OperationCost of(const Embed& op) const {
    const uint64_t row_bytes = device_.matrix_bytes(op.table) / width(recording_.logits);
    return {fmt::format("embed {}", width(op.out)), row_bytes * rows(op.out)};
  }

  OperationCost of(const AddNorm& op) const {
    const uint64_t bytes = values(op.residual) + (op.branch ? values(*op.branch) : 0);
    return {fmt::format("{}{} {}", op.branch ? "add" : "", op.norm ? (op.branch ? " and norm" : "norm") : "",
                        width(op.residual)),
            bytes};
  }

  OperationCost of(const Linear& op) const {
    return {fmt::format("linear {} to {}", width(op.in), width(op.out)), product(op.weight, op.in)};
  }

  OperationCost of(const Activate& op) const { return {fmt::format("activate {}", width(op.in)), values(op.in)}; }

  OperationCost of(const GateUp& op) const {
    return {fmt::format("gate and up {} to {}", width(op.in), width(op.out)), product(op.gate_up, op.in)};
  }

  OperationCost of(const ChooseExperts& op) const {
    return {fmt::format("route to {} of {}", op.chosen, op.experts), values(op.scores)};
  }

  OperationCost of(const ExpertGateUp& op) const {
    return {fmt::format("experts' gate and up {} to {}", width(op.in), width(op.out) / op.chosen),
            chosen(op.gate, op) + chosen(op.up, op) + values(op.in)};
  }

  OperationCost of(const ExpertLinear& op) const {
    const uint32_t inputs = op.same_input ? width(op.in) : width(op.in) / op.chosen;
    return {fmt::format("experts' linear {} to {}", inputs, width(op.out) / op.chosen),
            chosen(op.weight, op) + values(op.in)};
  }

  OperationCost of(const CombineExperts& op) const {
    return {"combine experts", values(op.in) + (op.shared ? values(*op.shared) : 0)};
  }

  OperationCost of(const CausalConvolution& op) const {
    return {fmt::format("causal convolution {}", op.channels),
            values(op.in) + states(uint64_t{op.kernel - 1} * op.channels)};
  }

  OperationCost of(const LinearAttention& op) const {
    return {fmt::format("linear attention {} heads of {} by {}", op.heads, op.key_dim, op.value_dim),
            values(op.in) + states(uint64_t{op.heads} * op.key_dim * op.value_dim)};
  }

  OperationCost of(const GatedNorm& op) const { return {"gated norm", 2 * values(op.in)}; }

  OperationCost of(const Gate& op) const { return {"gate", values(op.out) + values(op.gate)}; }

  OperationCost of(const RopeAndStore& op) const { return {"rope and store", values(op.qkv)}; }

  OperationCost of(const Attention& op) const {
    const uint64_t token_bytes =
        device_.cache_block_bytes({.kind = KeysAndValues{op.kv_heads, op.head_dim}, .layer = op.cache_layer.index}) /
        kBlockTokens;
    uint64_t positions = 0;
    for (const SequenceInput& sequence : input_.sequences) {
      const uint64_t all = uint64_t{sequence.context_tokens} + sequence.token_count;
      const uint64_t window = uint64_t{op.window} + sequence.token_count - 1;
      positions += op.window > 0 ? std::min(all, window) : all;
    }
    const std::string name = op.window > 0 ? fmt::format("attention, window {}", op.window) : "attention";
    return {name, positions * token_bytes + values(op.query)};
  }

  OperationCost of(const StoreLatents& op) const { return {"store latents", values(op.query) + values(op.latents)}; }

  OperationCost of(const HeadLinear& op) const { return {"linear by head", product(op.weight, op.in)}; }

  OperationCost of(const LatentAttention& op) const {
    const CacheLayerSpec layer = {.kind = LatentRows{op.width}, .layer = op.cache_layer.index};
    uint64_t positions = 0;
    for (const SequenceInput& sequence : input_.sequences) positions += sequence.context_tokens + sequence.token_count;
    return {"latent attention", positions * device_.cache_block_bytes(layer) / kBlockTokens + values(op.query)};
  }

  /// Reads what it selects, not what it leaves.
  OperationCost of(const SelectRows& op) const { return {"select rows", values(op.out)}; }

  OperationCost of(const Logits& op) const {
    return {fmt::format("logits {} to {}", width(op.in), width(op.out)), product(op.head, op.in)};
  }

 private:
  uint64_t width(TensorId tensor) const { return recording_.tensors[tensor.index].width; }
  uint64_t rows(TensorId tensor) const {
    return recording_.tensors[tensor.index].rows == Rows::tokens ? input_.token_ids.size() : input_.logit_rows.size();
  }
  uint64_t values(TensorId tensor) const { return rows(tensor) * width(tensor) * sizeof(float); }

  /// A state of so many values is read for each sequence, and written.
  uint64_t states(uint64_t state_values) const { return input_.sequences.size() * state_values * 2 * sizeof(float); }

  /// No rows, no work: steps without logits leave the last layer's end out.
  uint64_t product(MatrixId matrix, TensorId in) const {
    return rows(in) == 0 ? 0 : device_.matrix_bytes(matrix) + values(in);
  }

  /// Of a matrix of experts the most that can be chosen.
  template <class Op>
  uint64_t chosen(MatrixId matrix, const Op& op) const {
    return device_.matrix_bytes(matrix) / op.experts * std::min<uint64_t>(op.experts, rows(op.in) * op.chosen);
  }

  const Recording& recording_;
  const Device& device_;
  const StepInput& input_;
};

}  // namespace

std::vector<OperationCost> operation_costs(const Recording& recording, const Device& device, const StepInput& input) {
  const Costs costs(recording, device, input);
  std::vector<OperationCost> all;
  all.reserve(recording.operations.size());
  for (const Operation& operation : recording.operations) {
    all.push_back(std::visit([&](const auto& op) { return costs.of(op); }, operation));
  }
  return all;
}

}  // namespace hearth
