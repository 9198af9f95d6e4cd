#include <algorithm>
#include <array>
#include <cmath>

#include "device/cpu/step_context.h"

namespace hearth::cpu {
namespace {

/// Where a sequence's state is read and written in a step: null for a sequence that begins.
struct StatePlace {
  const float* from;
  float* to;
};
StatePlace state_place(const StepContext& step, const SequenceInput& sequence, CacheLayerId layer, size_t first) {
  const PagedCache& cache = step.storage.cache;
  const auto table = sequence.block_tables[cache.layer(layer.index).group];
  const auto at = [&](int32_t block) { return cache.state(layer.index, static_cast<uint32_t>(block)) + first; };
  return {table[0] < 0 ? nullptr : at(table[0]), at(table[1])};
}

/// Rows are independent of each other but for the state, which belongs to who runs a sequence's first row: that reads
/// it, runs all rows that see it, and writes it.
class ConvolutionOperation : public CpuOperation {
 public:
  explicit ConvolutionOperation(const CausalConvolution& op) : op_(op), zeros_(op.channels, 0.0F) {}

  void run(const StepContext& step) override {
    step.for_rows(step.places.size(), [&](size_t token, float*) {
      const SequenceInput& sequence = step.input.sequences[step.places[token].sequence];
      const StatePlace state = state_place(step, sequence, op_.layer, op_.state_first);
      const size_t index = token - sequence.first_token, seeing = op_.kernel - 1;
      if (index >= seeing) return convolve(step, sequence, state, index);
      if (index > 0) return;
      for (size_t i = 0; i < std::max<size_t>(1, std::min<size_t>(seeing, sequence.token_count)); ++i) {
        convolve(step, sequence, state, i);
      }
      keep(step, sequence, state);
    });
  }

 private:
  const float* input(const StepContext& step, const SequenceInput& sequence, size_t index) const {
    return step.activations.tensor(op_.in).row(sequence.first_token + index) + op_.first;
  }

  void convolve(const StepContext& step, const SequenceInput& sequence, const StatePlace& state, size_t index) const {
    std::array<const float*, kMostConvolutionRows> rows, gates{};
    const size_t channels = op_.channels, before = op_.kernel - 1;
    for (size_t j = 0; j < op_.kernel; ++j) {
      if (index + j < before) {
        rows[j] = state.from == nullptr ? zeros_.data() : state.from + (index + j) * channels;
        continue;
      }
      rows[j] = input(step, sequence, index + j - before);
      if (op_.gated) {
        gates[j] = rows[j];
        rows[j] += 2 * channels;
      }
    }
    const auto& vectors = step.storage.vectors;
    step.kernels().convolve({.rows = rows.data(),
                             .gates = gates.data(),
                             .kernel = op_.kernel,
                             .weight = vectors[op_.weight.index].data(),
                             .bias = op_.bias ? vectors[op_.bias->index].data() : nullptr,
                             .silu = op_.silu,
                             .after = op_.gated ? input(step, sequence, index) + channels : nullptr},
                            channels, step.activations.tensor(op_.out).row(sequence.first_token + index));
  }

  /// The last rows, the oldest first, so that those that stay are moved before they are overwritten.
  void keep(const StepContext& step, const SequenceInput& sequence, const StatePlace& state) const {
    const size_t channels = op_.channels, rows = op_.kernel - 1, count = sequence.token_count;
    for (size_t r = 0; r < rows; ++r) {
      float* const to = state.to + r * channels;
      if (r + count < rows) {
        std::copy_n(state.from == nullptr ? zeros_.data() : state.from + (r + count) * channels, channels, to);
        continue;
      }
      const float* x = input(step, sequence, r + count - rows);
      if (!op_.gated) {
        std::copy_n(x, channels, to);
        continue;
      }
      for (size_t c = 0; c < channels; ++c) to[c] = x[c] * x[2 * channels + c];
    }
  }

  CausalConvolution op_;
  std::vector<float> zeros_;
};

float softplus(float x) { return std::max(x, 0.0F) + std::log1p(std::exp(-std::abs(x))); }
float sigmoid(float x) { return 1.0F / (1.0F + std::exp(-x)); }

/// Each head of each sequence by itself, token by token.
class LinearAttentionOperation : public CpuOperation {
 public:
  explicit LinearAttentionOperation(const LinearAttention& op)
      : op_(op),
        k_factors_(op.key_dim, 1.0F / std::sqrt(static_cast<float>(op.key_dim))),
        q_factors_(op.key_dim, 1.0F / static_cast<float>(op.key_dim)) {}

  size_t scratch_floats() const override { return size_t{2} * op_.key_dim; }

  void run(const StepContext& step) override {
    step.pool().parallel_for(step.input.sequences.size() * op_.heads, [&](size_t index, unsigned thread) {
      run_head(step, step.input.sequences[index / op_.heads], static_cast<uint32_t>(index % op_.heads),
               step.scratch[thread].get());
    });
  }

 private:
  void run_head(const StepContext& step, const SequenceInput& sequence, uint32_t head, float* scratch) const {
    const size_t values = size_t{op_.key_dim} * op_.value_dim;
    const StatePlace state = state_place(step, sequence, op_.layer, op_.state_first + head * values);
    if (state.from == nullptr) {
      std::fill_n(state.to, values, 0.0F);
    } else if (state.from != state.to) {
      std::copy_n(state.from, values, state.to);
    }
    const auto of_head = [&](VectorId id) { return step.storage.vectors[id.index][head]; };
    const float decay_rate = of_head(op_.decay_rate), step_bias = of_head(op_.step_bias);
    StateInput input = {.state = state.to,
                        .key_dim = op_.key_dim,
                        .value_dim = op_.value_dim,
                        .delta = op_.rule == StateRule::gated_delta,
                        .skip = op_.skip ? of_head(*op_.skip) : 0.0F};
    for (size_t t = sequence.first_token; t < sequence.first_token + sequence.token_count; ++t) {
      const float* const in = step.activations.tensor(op_.in).row(t);
      const float* const rates = step.activations.tensor(op_.rates).row(t);
      const float time = std::max(softplus(rates[op_.a_column(head)] + step_bias), op_.least_step);
      input.decay = std::exp(decay_rate * time);
      input.strength = input.delta ? sigmoid(rates[op_.b_column(head)]) : time;
      const size_t key = size_t{op_.key_head(head)} * op_.key_dim, value = size_t{head} * op_.value_dim;
      input.q = in + op_.q_first + key;
      input.k = in + op_.k_first + key;
      input.v = in + op_.v_first + value;
      if (input.delta) normalise(step.kernels(), input, scratch);
      step.kernels().update_state(input, step.activations.tensor(op_.out).row(t) + value);
    }
  }

  /// A length of 1 is a mean square of 1 divided by the count's root.
  void normalise(const Kernels& kernels, StateInput& input, float* scratch) const {
    const float epsilon = LinearAttention::kNormEpsilon / static_cast<float>(op_.key_dim);
    kernels.rms_norm(input.q, q_factors_.data(), epsilon, op_.key_dim, scratch);
    kernels.rms_norm(input.k, k_factors_.data(), epsilon, op_.key_dim, scratch + op_.key_dim);
    input.q = scratch;
    input.k = scratch + op_.key_dim;
  }

  LinearAttention op_;
  std::vector<float> k_factors_, q_factors_;  ///< [key_dim] what norms to length 1, and to 1 / sqrt(key_dim)
};

class GatedNormOperation : public CpuOperation {
 public:
  explicit GatedNormOperation(const GatedNorm& op) : op_(op) {}

  void run(const StepContext& step) override {
    const ActivationTensor& out = step.activations.tensor(op_.out);
    const Kernels& kernels = step.kernels();
    step.for_rows(step.rows(out), [&](size_t row, float*) {
      const float* const in = step.activations.tensor(op_.in).row(row);
      const float* const gates = step.activations.tensor(op_.gates).row(row) + op_.first;
      float* const to = out.row(row);
      if (op_.gate_first) {
        kernels.activate(Activation::silu, gates, in, to, out.width);
        norm(step, to, out.width, to);
      } else {
        norm(step, in, out.width, to);
        kernels.activate(Activation::silu, gates, to, to, out.width);
      }
    });
  }

 private:
  void norm(const StepContext& step, const float* x, size_t width, float* to) const {
    const float* const weight = step.storage.vectors[op_.weight.index].data();
    for (size_t i = 0; i < width; i += op_.group) {
      step.kernels().rms_norm(x + i, op_.weight_for_each_group ? weight + i : weight, op_.epsilon, op_.group, to + i);
    }
  }

  GatedNorm op_;
};

class GateOperation : public CpuOperation {
 public:
  explicit GateOperation(const Gate& op) : op_(op) {}

  void run(const StepContext& step) override {
    const ActivationTensor& out = step.activations.tensor(op_.out);
    const ActivationTensor& gates = step.activations.tensor(op_.gate);
    step.for_rows(step.rows(out), [&](size_t row, float*) {
      const float* const in = step.activations.tensor(op_.in).row(row) + op_.first;
      const float* const gate = gates.row(row);
      if (gates.width == out.width) {
        return step.kernels().activate(op_.activation, gate, in, out.row(row), out.width);
      }
      float factor = 0;
      step.kernels().activate_alone(op_.activation, {}, gate, &factor, 1);
      std::transform(in, in + out.width, out.row(row), [&](float x) { return x * factor; });
    });
  }

 private:
  Gate op_;
};

}  // namespace

std::unique_ptr<CpuOperation> make_causal_convolution(const CausalConvolution& op) {
  return std::make_unique<ConvolutionOperation>(op);
}
std::unique_ptr<CpuOperation> make_linear_attention(const LinearAttention& op) {
  return std::make_unique<LinearAttentionOperation>(op);
}
std::unique_ptr<CpuOperation> make_gated_norm(const GatedNorm& op) { return std::make_unique<GatedNormOperation>(op); }
std::unique_ptr<CpuOperation> make_gate(const Gate& op) { return std::make_unique<GateOperation>(op); }

}  // namespace hearth::cpu
