#pragma once

#include <algorithm>
#include <cmath>
#include <span>
#include <vector>

#include "base/thread_pool.h"
#include "device/device.h"
#include "device/reference/reference_storage.h"

namespace hearth::reference {

/// A step in flight: the input, the activations [rows, width] by tensor index, and where things live.
struct Step {
  const Recording& recording;
  const StepInput& input;
  Storage& storage;
  ThreadPool& pool;
  std::vector<std::vector<float>>& activations;

  uint32_t rows(TensorId tensor) const;
  uint32_t width(TensorId tensor) const { return recording.tensors[tensor.index].width; }
  std::span<float> row(TensorId tensor, uint32_t row) const;
};

// The meaning of each operation (device/operation.h): plain loops, sums in double.
void run(const Step& step, const Embed& op);
void run(const Step& step, const AddNorm& op);
void run(const Step& step, const Linear& op);
void run(const Step& step, const Activate& op);
void run(const Step& step, const GateUp& op);
void run(const Step& step, const ChooseExperts& op);
void run(const Step& step, const ExpertGateUp& op);
void run(const Step& step, const ExpertLinear& op);
void run(const Step& step, const CombineExperts& op);
void run(const Step& step, const CausalConvolution& op);
void run(const Step& step, const LinearAttention& op);
void run(const Step& step, const GatedNorm& op);
void run(const Step& step, const Gate& op);
void run(const Step& step, const RopeAndStore& op);
void run(const Step& step, const Attention& op);
void run(const Step& step, const StoreLatents& op);
void run(const Step& step, const HeadLinear& op);
void run(const Step& step, const LatentAttention& op);
void run(const Step& step, const SelectRows& op);
void run(const Step& step, const Logits& op);

double dot(std::span<const float> a, std::span<const float> b);
/// x / sqrt(mean(x^2) + epsilon) * weight (Zhang and Sennrich, arXiv 1910.07467), to `out`, which may be x.
void rms_norm(std::span<const float> x, std::span<const float> weight, float epsilon, std::span<float> out);
/// Turns one head by its position; dimensions beyond the pairs stay.
void rotate(const RopeSpec& rope, double position, std::span<float> head);
uint64_t slot_of(std::span<const int32_t> block_table, uint32_t position);
double activate(Activation activation, double x, const Xielu& parameters = {});

/// Calls f(row of the batch, its sequence, its position) for every token, in parallel.
template <class F>
void for_each_token(const Step& step, F&& f) {
  for (const SequenceInput& sequence : step.input.sequences) {
    step.pool.parallel_for(sequence.token_count, [&](size_t i, unsigned) {
      f(sequence.first_token + static_cast<uint32_t>(i), sequence, sequence.context_tokens + static_cast<uint32_t>(i));
    });
  }
}

/// The softmax's mean of value(p), at least as long as `out`, over positions p in [first, end) whose scores are
/// score(p); exp(sink) belongs to the softmax's sum.
template <class Score, class Value>
void attend(uint32_t first, uint32_t end, double sink, Score&& score, Value&& value, std::span<float> out) {
  std::vector<double> weights(end - first);
  double highest = sink;
  for (uint32_t p = first; p < end; ++p) highest = std::max<double>(highest, weights[p - first] = score(p));
  double sum = std::exp(sink - highest);
  for (double& weight : weights) sum += weight = std::exp(weight - highest);
  std::vector<double> mixed(out.size(), 0.0);
  for (uint32_t p = first; p < end; ++p) {
    const std::span<const float> row = value(p);
    for (size_t i = 0; i < out.size(); ++i) mixed[i] += weights[p - first] / sum * row[i];
  }
  for (size_t i = 0; i < out.size(); ++i) out[i] = static_cast<float>(mixed[i]);
}

/// The meaning of StepOutput::candidates: a sort of the whole row.
void best_candidates(std::span<const float> logits, std::span<TokenLogit> best);

}  // namespace hearth::reference
