#include "device/vulkan/step_work.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <variant>

namespace hearth::vulkan {
namespace {

/// Keys that the tokens of a sequence's share of a step see, added up.
double keys_seen(const SequenceInput& sequence, uint32_t window) {
  // Token i sees context + i + 1 keys, or the window if that is less.
  const double context = sequence.context_tokens;
  const double tokens = sequence.token_count;
  if (window == 0 || context + tokens <= window) return tokens * context + tokens * (tokens + 1) / 2;
  const double growing = std::clamp(window - context, 0.0, tokens);
  return growing * context + growing * (growing + 1) / 2 + (tokens - growing) * window;
}

}  // namespace

StepWork::StepWork(const Recording& recording, const Weights& weights)
    : matmuls_(recording.operations.size()), joins_before_(recording.operations.size()) {
  const auto matmul = [&](MatrixId id, TensorId in) {
    const Matrix& matrix = weights.matrix(id);
    return Matmul{2.0 * matrix.rows * matrix.spec.cols, recording.tensors[in.index].rows};
  };
  for (size_t i = 0; i < recording.operations.size(); ++i) {
    const Operation& operation = recording.operations[i];
    joins_before_[i] = std::holds_alternative<AddNorm>(operation);
    if (const auto* op = std::get_if<Linear>(&operation)) matmuls_[i] = matmul(op->weight, op->in);
    if (const auto* op = std::get_if<GateUp>(&operation)) matmuls_[i] = matmul(op->gate_up, op->in);
    if (const auto* op = std::get_if<Logits>(&operation)) matmuls_[i] = matmul(op->head, op->in);
    const auto* op = std::get_if<Attention>(&operation);
    if (op == nullptr) continue;
    auto found = std::ranges::find(attention_, op->window, &AttentionWork::window);
    if (found == attention_.end()) found = attention_.insert(attention_.end(), {.window = op->window});
    found->operations_per_key += 4.0 * op->heads * op->head_dim;  // the score, and the value
  }
}

double StepWork::operations(const StepInput& input) const {
  double sum = 0;
  for (const Matmul& matmul : matmuls_) {
    const size_t rows = matmul.rows == Rows::tokens ? input.token_ids.size() : input.logit_rows.size();
    sum += matmul.operations_per_row * static_cast<double>(rows);
  }
  for (const AttentionWork& layers : attention_) {
    for (const SequenceInput& sequence : input.sequences) {
      sum += layers.operations_per_key * keys_seen(sequence, layers.window);
    }
  }
  return sum;
}

uint32_t StepWork::pieces(const StepInput& input, double most_operations) const {
  // More pieces than operations would be empty.
  const double wanted = std::ceil(operations(input) / most_operations);
  return std::bit_ceil(static_cast<uint32_t>(std::clamp<double>(wanted, 1, static_cast<double>(matmuls_.size()))));
}

std::vector<size_t> StepWork::cut(uint32_t pieces, uint32_t tokens, uint32_t logit_rows) const {
  const auto work = [&](const Matmul& matmul) {
    return matmul.operations_per_row * (matmul.rows == Rows::tokens ? tokens : logit_rows);
  };
  double total = 0;
  for (const Matmul& matmul : matmuls_) total += work(matmul);
  // Attention lies between the matmuls of its layer and so falls to the pieces as they do.
  std::vector<size_t> cuts = {0};
  double done = 0, done_at_cut = 0;
  for (size_t i = 0; i < matmuls_.size(); ++i) {
    const double half = work(matmuls_[i]) / 2;
    if (joins_before_[i]) continue;  // it is no matmul
    if (done > done_at_cut && done + half > total * static_cast<double>(cuts.size()) / pieces) {
      cuts.push_back(i);
      done_at_cut = done;
    }
    done += 2 * half;
  }
  cuts.push_back(matmuls_.size());
  return cuts;
}

}  // namespace hearth::vulkan
