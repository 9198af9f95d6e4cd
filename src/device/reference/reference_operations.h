#pragma once

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
void run(const Step& step, const SelectRows& op);
void run(const Step& step, const Logits& op);

double dot(std::span<const float> a, std::span<const float> b);
double activate(Activation activation, double x, const Xielu& parameters = {});

/// The meaning of StepOutput::candidates: a sort of the whole row.
void best_candidates(std::span<const float> logits, std::span<TokenLogit> best);

}  // namespace hearth::reference
