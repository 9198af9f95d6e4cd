#include "device/vulkan/recording/step_work.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <variant>

#include "device/operation_uses.h"

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

/// Parts of an operation none of which is more than `most`; each is a submit, so there is an end to them.
uint32_t slices_of(double operations, double most) {
  constexpr double kMostSlices = 256;
  return static_cast<uint32_t>(std::clamp(std::ceil(operations / most), 1.0, kMostSlices));
}

}  // namespace

StepWork::StepWork(const Recording& recording, const Weights& weights, double most_operations, bool cuts_launches)
    : most_operations_(most_operations),
      cuts_launches_(cuts_launches),
      matmuls_(recording.operations.size()),
      is_attention_(recording.operations.size()),
      joins_before_(recording.operations.size()) {
  for (size_t i = 0; i < recording.operations.size(); ++i) {
    const Operation& operation = recording.operations[i];
    if (const auto product = product_of(operation)) {
      const Matrix& matrix = weights.matrix(product->matrix);
      matmuls_[i] = {2.0 * matrix.rows * matrix.spec.cols, rows_of(recording, operation)};
    }
    visit_uses(operation, Overloaded{[&](MultipliesChosen use) {
                                       const Matrix& matrix = weights.matrix(use.matrix);
                                       const double rows = matrix.rows / use.experts * use.chosen;
                                       matmuls_[i].operations_per_row += 2.0 * rows * matrix.spec.cols;
                                       matmuls_[i].rows = rows_of(recording, operation);
                                     },
                                     [](OneOf<Reads, Writes, Updates, Multiplies, LooksUp, NeedsVector, WritesCache,
                                              ReadsCache, UpdatesState> auto) {}});
    std::visit(
        Overloaded{[&](const Attention& op) {
                     is_attention_[i] = true;
                     add_attention(op);
                   },
                   [&](const AddNorm&) { joins_before_[i] = true; },
                   [](const OneOf<Embed, Linear, Activate, GateUp, ChooseExperts, ExpertGateUp, ExpertLinear,
                                  CombineExperts, CausalConvolution, LinearAttention, GatedNorm, Gate, RopeAndStore,
                                  StoreLatents, HeadLinear, LatentAttention, SelectRows, Logits> auto&) {}},
        operation);
  }
}

void StepWork::add_attention(const Attention& op) {
  auto found = std::ranges::find(attention_, op.window, &AttentionWork::window);
  if (found == attention_.end()) found = attention_.insert(attention_.end(), {.window = op.window});
  const double per_key = 4.0 * op.heads * op.head_dim;  // the score, and the value
  found->operations_per_key += per_key;
  found->most_of_a_layer = std::max(found->most_of_a_layer, per_key);
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

uint32_t StepWork::pieces(const StepInput& input) const {
  // More pieces than operations would be empty.
  const double wanted = std::ceil(operations(input) / most_operations_);
  return std::bit_ceil(static_cast<uint32_t>(std::clamp<double>(wanted, 1, static_cast<double>(matmuls_.size()))));
}

uint32_t StepWork::attention_slices(const StepInput& input) const {
  if (!cuts_launches_) return 1;
  double most = 0;
  for (const AttentionWork& layers : attention_) {
    double work = 0;
    for (const SequenceInput& sequence : input.sequences) {
      work += layers.most_of_a_layer * keys_seen(sequence, layers.window);
    }
    most = std::max(most, work);
  }
  return std::bit_ceil(slices_of(most, most_operations_));
}

double StepWork::work(size_t operation, uint32_t tokens, uint32_t logit_rows) const {
  const Matmul& matmul = matmuls_[operation];
  return matmul.operations_per_row * (matmul.rows == Rows::tokens ? tokens : logit_rows);
}

std::vector<StepPiece> StepWork::cut(uint32_t pieces, uint32_t attention_slices, uint32_t tokens,
                                     uint32_t logit_rows) const {
  if (pieces == 1) return {{.end = matmuls_.size()}};
  double total = 0;
  for (size_t i = 0; i < matmuls_.size(); ++i) total += work(i, tokens, logit_rows);
  // Attention that is not cut lies between the matmuls of its layer and so falls to the pieces as they do.
  std::vector<StepPiece> cuts;
  size_t first = 0;
  double since_cut = 0;
  const auto end_piece = [&](size_t end) {
    if (end > first) cuts.push_back({.first = first, .end = end});
    first = end;
    since_cut = 0;
  };
  for (size_t i = 0; i < matmuls_.size(); ++i) {
    const double own = work(i, tokens, logit_rows);
    const uint32_t slices = is_attention_[i] ? attention_slices : cuts_launches_ ? slices_of(own, most_operations_) : 1;
    if (slices > 1) {
      end_piece(i);
      for (uint32_t s = 0; s < slices; ++s) cuts.push_back({.first = i, .end = i + 1, .slice = s, .slices = slices});
      first = i + 1;
      continue;
    }
    if (since_cut > 0 && !joins_before_[i] && since_cut + own / 2 > total / pieces) end_piece(i);
    since_cut += own;
  }
  end_piece(matmuls_.size());
  return cuts;
}

double most_operations_of_submit(const Gpu& gpu, const Tuning& tuning) {
  if (tuning.submit_mflop > 0) return tuning.submit_mflop * 1e6;
  if (gpu.properties().type != VK_PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU) return 1000e9;
  // 2 * 10^9 for each compute unit; where the driver does not count them, as many as a Radeon 780M has.
  constexpr uint32_t kUnknownUnits = 12;
  const uint32_t units = gpu.properties().compute_units;
  return 2e9 * (units > 0 ? units : kUnknownUnits);
}

}  // namespace hearth::vulkan
