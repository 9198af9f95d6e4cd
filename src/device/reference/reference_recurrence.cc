#include <algorithm>
#include <cmath>

#include "device/reference/reference_operations.h"

namespace hearth::reference {
namespace {

double silu(double x) { return activate(Activation::silu, x); }
double sigmoid(double x) { return activate(Activation::sigmoid, x); }
double softplus(double x) { return std::max(x, 0.0) + std::log1p(std::exp(-std::abs(x))); }

/// `count` values of a sequence's state before the step.
std::vector<double> state_before(const Step& step, const SequenceInput& sequence, CacheLayerId layer, size_t first,
                                 size_t count) {
  Cache& cache = step.storage.cache;
  const int32_t from = sequence.block_tables[cache.group(layer.index)][0];
  if (from < 0) return std::vector<double>(count, 0.0);
  const auto state = cache.state(layer.index, static_cast<uint32_t>(from)).subspan(first, count);
  return {state.begin(), state.end()};
}

void keep_state(const Step& step, const SequenceInput& sequence, CacheLayerId layer, size_t first,
                std::span<const double> values) {
  Cache& cache = step.storage.cache;
  const int32_t to = sequence.block_tables[cache.group(layer.index)][1];
  const auto state = cache.state(layer.index, static_cast<uint32_t>(to)).subspan(first, values.size());
  std::ranges::transform(values, state.begin(), [](double value) { return static_cast<float>(value); });
}

/// x / sqrt(sum(x^2) + epsilon) * factor.
std::vector<double> normalised(std::span<const float> x, double epsilon, double factor) {
  std::vector<double> out(x.begin(), x.end());
  for (double& value : out) value *= factor / std::sqrt(dot(x, x) + epsilon);
  return out;
}

/// One token for one head: changes S [key_dim, value_dim] and gives q.S.
std::vector<double> attend(std::vector<double>& state, std::span<const double> q, std::span<const double> k,
                           std::span<const double> v, double decay, std::optional<double> beta) {
  const size_t values = v.size();
  std::vector<double> added(v.begin(), v.end()), out(values, 0.0);
  for (double& x : state) x *= decay;
  if (beta) {
    for (size_t j = 0; j < values; ++j) {
      double known = 0;
      for (size_t i = 0; i < k.size(); ++i) known += k[i] * state[i * values + j];
      added[j] = *beta * (v[j] - known);
    }
  }
  for (size_t i = 0; i < k.size(); ++i) {
    for (size_t j = 0; j < values; ++j) {
      // Rounded for each token, so that it is the same wherever a step ends.
      state[i * values + j] = static_cast<float>(state[i * values + j] + k[i] * added[j]);
      out[j] += q[i] * state[i * values + j];
    }
  }
  return out;
}

/// All of a sequence's tokens for one head.
void run_head(const Step& step, const LinearAttention& op, const SequenceInput& sequence, uint32_t head) {
  const auto& vectors = step.storage.vectors;
  const size_t count = size_t{op.key_dim} * op.value_dim, first = op.state_first + head * count;
  std::vector<double> state = state_before(step, sequence, op.layer, first, count);
  for (uint32_t t = sequence.first_token; t < sequence.first_token + sequence.token_count; ++t) {
    const auto in = step.row(op.in, t), rates = step.row(op.rates, t);
    const size_t key_at = size_t{op.key_head(head)} * op.key_dim, value_at = size_t{head} * op.value_dim;
    const auto q = in.subspan(op.q_first + key_at, op.key_dim), k = in.subspan(op.k_first + key_at, op.key_dim);
    const auto v = in.subspan(op.v_first + value_at, op.value_dim);
    const double free_time = softplus(double{rates[op.a_column(head)]} + vectors[op.step_bias.index][head]);
    const double time = std::max<double>(free_time, op.least_step);
    const double decay = std::exp(vectors[op.decay_rate.index][head] * time);
    std::vector<double> mixed, values(v.begin(), v.end());
    if (op.rule == StateRule::gated_delta) {
      const double scale = 1 / std::sqrt(double{static_cast<float>(op.key_dim)});
      mixed = attend(state, normalised(q, LinearAttention::kNormEpsilon, scale),
                     normalised(k, LinearAttention::kNormEpsilon, 1), values, decay, sigmoid(rates[op.b_column(head)]));
    } else {
      for (double& value : values) value *= time;
      mixed = attend(state, std::vector<double>(q.begin(), q.end()), std::vector<double>(k.begin(), k.end()), values,
                     decay, {});
    }
    const double skip = op.skip ? vectors[op.skip->index][head] : 0;
    const auto out = step.row(op.out, t).subspan(value_at, op.value_dim);
    for (size_t j = 0; j < out.size(); ++j) out[j] = static_cast<float>(mixed[j] + skip * v[j]);
  }
  keep_state(step, sequence, op.layer, first, state);
}

}  // namespace

void run(const Step& step, const CausalConvolution& op) {
  const std::vector<float>& weight = step.storage.vectors[op.weight.index];
  const size_t channels = op.channels, kept = op.kernel - 1;
  for (const SequenceInput& sequence : step.input.sequences) {
    // The rows that the sequence's tokens see: those kept, then its own.
    std::vector<double> rows = state_before(step, sequence, op.layer, op.state_first, kept * channels);
    for (uint32_t i = 0; i < sequence.token_count; ++i) {
      const auto in = step.row(op.in, sequence.first_token + i).subspan(op.first);
      const auto out = step.row(op.out, sequence.first_token + i);
      for (size_t c = 0; c < channels; ++c) rows.push_back(op.gated ? in[c] * in[2 * channels + c] : in[c]);
      for (size_t c = 0; c < channels; ++c) {
        double sum = op.bias ? step.storage.vectors[op.bias->index][c] : 0;
        for (size_t j = 0; j < op.kernel; ++j) sum += weight[j * channels + c] * rows[(i + j) * channels + c];
        if (op.silu) sum = silu(sum);
        out[c] = static_cast<float>(op.gated ? sum * in[channels + c] : sum);
      }
    }
    keep_state(step, sequence, op.layer, op.state_first, std::span(rows).last(kept * channels));
  }
}

void run(const Step& step, const LinearAttention& op) {
  for (const SequenceInput& sequence : step.input.sequences) {
    step.pool.parallel_for(op.heads,
                           [&](size_t head, unsigned) { run_head(step, op, sequence, static_cast<uint32_t>(head)); });
  }
}

void run(const Step& step, const GatedNorm& op) {
  const std::vector<float>& weight = step.storage.vectors[op.weight.index];
  for (uint32_t t = 0; t < step.rows(op.out); ++t) {
    const auto in = step.row(op.in, t), out = step.row(op.out, t), gates = step.row(op.gates, t).subspan(op.first);
    for (size_t begin = 0; begin < out.size(); begin += op.group) {
      double squares = 0;
      const auto value = [&](size_t i) { return op.gate_first ? in[i] * silu(gates[i]) : double{in[i]}; };
      for (size_t i = begin; i < begin + op.group; ++i) squares += value(i) * value(i);
      const double scale = 1 / std::sqrt(squares / op.group + op.epsilon);
      for (size_t i = begin; i < begin + op.group; ++i) {
        const double normed = value(i) * scale * weight[op.weight_for_each_group ? i : i - begin];
        out[i] = static_cast<float>(op.gate_first ? normed : normed * silu(gates[i]));
      }
    }
  }
}

void run(const Step& step, const Gate& op) {
  for (uint32_t t = 0; t < step.rows(op.out); ++t) {
    const auto in = step.row(op.in, t), gate = step.row(op.gate, t), out = step.row(op.out, t);
    for (size_t i = 0; i < out.size(); ++i) {
      const double factor = activate(op.activation, gate[gate.size() == 1 ? 0 : i]);
      out[i] = static_cast<float>(in[op.first + i] * factor);
    }
  }
}

}  // namespace hearth::reference
