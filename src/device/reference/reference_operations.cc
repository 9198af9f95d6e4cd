#include "device/reference/reference_operations.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace hearth::reference {
namespace {

/// rms_norm of x - mean(x) (Ba et al., arXiv 1607.06450), and a bias where there is one; `out` may be x.
void layer_norm(std::span<const float> x, std::span<const float> weight, std::span<const float> bias, float epsilon,
                std::span<float> out) {
  double mean = 0, variance = 0;
  for (const float value : x) mean += value / static_cast<double>(x.size());
  for (const float value : x) variance += (value - mean) * (value - mean) / static_cast<double>(x.size());
  const double scale = 1.0 / std::sqrt(variance + epsilon);
  for (size_t i = 0; i < x.size(); ++i) {
    out[i] = static_cast<float>((x[i] - mean) * scale * weight[i] + (bias.empty() ? 0.0F : bias[i]));
  }
}

double xielu(const Xielu& p, double x) {
  if (x > 0) return x * (p.positive * x + p.linear);
  return p.negative * (std::expm1(std::min<double>(x, p.bound)) - x) + p.linear * x;
}

float soft_cap(double x, float cap) { return static_cast<float>(cap > 0 ? cap * std::tanh(x / cap) : x); }

/// out[t][r] = in[t] . weight[r] for all tokens; every row is widened once.
void multiply(const Step& step, TensorId in, MatrixId matrix, TensorId out) {
  const Matrix& weight = step.storage.matrices[matrix.index];
  step.pool.parallel_for(weight.rows(), [&](size_t r, unsigned) {
    std::vector<float> row(weight.cols());
    weight.read_row(static_cast<uint32_t>(r), row);
    for (uint32_t t = 0; t < step.rows(in); ++t) step.row(out, t)[r] = static_cast<float>(dot(step.row(in, t), row));
  });
}

/// One query head at `position` over the cached keys and values of its sequence.
void attend(const Step& step, const Attention& op, std::span<const int32_t> block_table, uint32_t position,
            uint32_t head, std::span<const float> query, std::span<float> out) {
  Cache& cache = step.storage.cache;
  const uint32_t layer = op.cache_layer.index, begin = head / (op.heads / op.kv_heads) * op.head_dim;
  const auto score = [&](uint32_t p) {
    return soft_cap(op.scale * dot(query, cache.keys(layer, slot_of(block_table, p)).subspan(begin, op.head_dim)),
                    op.softcap);
  };
  const auto value = [&](uint32_t p) {
    return cache.values(layer, slot_of(block_table, p)).subspan(begin, op.head_dim);
  };
  const uint32_t first = op.first_position(position);
  const double sink = op.sinks ? step.storage.vectors[op.sinks->index][head] : -INFINITY;
  reference::attend(first, position + 1, sink, score, value, out);
}

}  // namespace

double dot(std::span<const float> a, std::span<const float> b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += static_cast<double>(a[i]) * b[i];
  return sum;
}

void rms_norm(std::span<const float> x, std::span<const float> weight, float epsilon, std::span<float> out) {
  const double scale = 1.0 / std::sqrt(dot(x, x) / static_cast<double>(x.size()) + epsilon);
  for (size_t i = 0; i < x.size(); ++i) out[i] = static_cast<float>(x[i] * scale * weight[i]);
}

void rotate(const RopeSpec& rope, double position, std::span<float> head) {
  const size_t pairs = rope.inverse_frequencies.size();
  for (size_t i = 0; i < pairs; ++i) {
    const double angle = position * rope.inverse_frequencies[i];
    const double c = std::cos(angle) * rope.magnitude;
    const double s = std::sin(angle) * rope.magnitude;
    float& a = head[rope.interleaved ? 2 * i : i];
    float& b = head[rope.interleaved ? 2 * i + 1 : i + pairs];
    const double x = a;
    const double y = b;
    a = static_cast<float>(x * c - y * s);
    b = static_cast<float>(x * s + y * c);
  }
}

uint64_t slot_of(std::span<const int32_t> block_table, uint32_t position) {
  return static_cast<uint64_t>(block_table[position / kBlockTokens]) * kBlockTokens + position % kBlockTokens;
}

double activate(Activation activation, double x, const Xielu& parameters) {
  switch (activation) {
    case Activation::silu:
      return x / (1.0 + std::exp(-x));
    case Activation::gelu:
      return 0.5 * x * std::erfc(-x / std::numbers::sqrt2);
    case Activation::gelu_tanh:
      return 0.5 * x * (1.0 + std::tanh(std::sqrt(2.0 / std::numbers::pi) * (x + 0.044715 * x * x * x)));
    case Activation::quick_gelu:
      return x / (1.0 + std::exp(-1.702 * x));
    case Activation::relu:
      return x < 0 ? 0 : x;
    case Activation::relu_squared:
      return x < 0 ? 0 : x * x;
    case Activation::xielu:
      return xielu(parameters, x);
    case Activation::sigmoid:
      return 1.0 / (1.0 + std::exp(-x));
  }
  return 0;
}

uint32_t Step::rows(TensorId tensor) const {
  return static_cast<uint32_t>(recording.tensors[tensor.index].rows == Rows::tokens ? input.token_ids.size()
                                                                                    : input.logit_rows.size());
}

std::span<float> Step::row(TensorId tensor, uint32_t row) const {
  return {activations[tensor.index].data() + static_cast<size_t>(row) * width(tensor), width(tensor)};
}

void run(const Step& step, const Embed& op) {
  for (uint32_t t = 0; t < step.rows(op.out); ++t) {
    const auto out = step.row(op.out, t);
    step.storage.matrices[op.table.index].read_row(static_cast<uint32_t>(step.input.token_ids[t]), out);
    for (float& x : out) x *= op.scale;
  }
}

void run(const Step& step, const AddNorm& op) {
  const auto norm = [&](std::span<const float> x, VectorId weight, std::optional<VectorId> bias, std::span<float> out) {
    const std::vector<float>& w = step.storage.vectors[weight.index];
    if (op.kind == NormKind::rms) return rms_norm(x, w, op.epsilon, out);
    layer_norm(x, w, bias ? step.storage.vectors[bias->index] : std::vector<float>(), op.epsilon, out);
  };
  const uint32_t width = op.part > 0 ? op.part : step.width(op.residual), parts = step.width(op.residual) / width;
  std::vector<float> branch(width);
  for (uint32_t i = 0; i < step.rows(op.residual) * parts; ++i) {
    const auto row = [&](TensorId tensor) { return step.row(tensor, i / parts).subspan(i % parts * width, width); };
    const auto residual = row(op.residual);
    if (op.branch) {
      const auto source = row(*op.branch);
      branch.assign(source.begin(), source.end());
      if (op.post_norm) norm(branch, *op.post_norm, {}, branch);
      for (size_t j = 0; j < width; ++j) {
        residual[j] = op.residual_scale * (residual[j] + op.branch_scale * branch[j]);
      }
    }
    if (op.norm) norm(residual, *op.norm, op.norm_bias, row(*op.out));
  }
}

void run(const Step& step, const Linear& op) {
  multiply(step, op.in, op.weight, op.out);
  if (!op.bias) return;
  const std::vector<float>& bias = step.storage.vectors[op.bias->index];
  for (uint32_t t = 0; t < step.rows(op.out); ++t) {
    const auto out = step.row(op.out, t);
    for (size_t i = 0; i < out.size(); ++i) out[i] += bias[i];
  }
}

void run(const Step& step, const Activate& op) {
  for (uint32_t t = 0; t < step.rows(op.in); ++t) {
    const auto in = step.row(op.in, t);
    const auto out = step.row(op.out, t);
    for (size_t i = 0; i < in.size(); ++i) out[i] = static_cast<float>(activate(op.activation, in[i], op.xielu));
  }
}

void run(const Step& step, const GateUp& op) {
  const Matrix& weight = step.storage.matrices[op.gate_up.index];
  const uint32_t width = weight.rows() / 2;
  const auto bias = [&](size_t row) { return op.bias ? step.storage.vectors[op.bias->index][row] : 0.0F; };
  step.pool.parallel_for(width, [&](size_t r, unsigned) {
    std::vector<float> gate(weight.cols());
    std::vector<float> up(weight.cols());
    weight.read_row(static_cast<uint32_t>(r), gate);
    weight.read_row(static_cast<uint32_t>(r) + width, up);
    for (uint32_t t = 0; t < step.rows(op.in); ++t) {
      const auto in = step.row(op.in, t);
      const double gated = activate(op.activation, dot(in, gate) + bias(r));
      step.row(op.out, t)[r] = static_cast<float>(gated * (dot(in, up) + bias(width + r)));
    }
  });
}

void run(const Step& step, const RopeAndStore& op) {
  Cache& cache = step.storage.cache;
  // Without K and V of its own it has no layer of the cache.
  const uint32_t group = op.kv_heads > 0 ? cache.group(op.cache_layer.index) : 0;
  const std::vector<float> ones(op.head_dim, 1.0F);
  const auto norm = [&](std::span<float> heads, const std::optional<VectorId>& weight) {
    if (!weight) return;
    const std::span<const float> weights = step.storage.vectors[weight->index];
    const size_t width = op.head_norm == HeadNorm::all_heads ? heads.size() : op.head_dim;
    for (size_t i = 0; i < heads.size(); i += width) {
      const auto part = heads.subspan(i, width);
      if (op.head_norm == HeadNorm::layer_norms) {
        layer_norm(part, weights.subspan(i, width), {}, op.epsilon, part);
      } else {
        rms_norm(part, weights, op.epsilon, part);
      }
    }
  };
  const auto turn = [&](std::span<float> heads, uint32_t position) {
    for (size_t i = 0; op.rope && i < heads.size(); i += op.head_dim) {
      rotate(step.recording.ropes[op.rope->index], position, heads.subspan(i, op.head_dim));
    }
  };
  for_each_token(step, [&](uint32_t t, const SequenceInput& sequence, uint32_t position) {
    const auto qkv = step.row(op.qkv, t);
    const size_t kv_width = static_cast<size_t>(op.kv_heads) * op.head_dim;
    const auto queries = qkv.first(static_cast<size_t>(op.heads) * op.head_dim);
    const auto keys = qkv.subspan(queries.size(), kv_width);
    const auto projected = qkv.subspan(queries.size() + (op.values_are_keys ? 0 : kv_width), kv_width);
    std::vector<float> values(projected.begin(), projected.end());
    for (size_t i = 0; op.v_norm && i < kv_width; i += op.head_dim) {
      const auto head = std::span(values).subspan(i, op.head_dim);
      rms_norm(head, ones, op.epsilon, head);
    }
    if (op.norm_after_rope) turn(queries, position), turn(keys, position);
    norm(queries, op.q_norm);
    norm(keys, op.k_norm);
    if (!op.norm_after_rope) turn(queries, position), turn(keys, position);
    const double grown =
        1.0 + op.query_growth * std::log1p((position + op.query_growth_shift) / op.query_growth_positions);
    std::ranges::transform(queries, step.row(op.out, t).begin(),
                           [&](float q) { return static_cast<float>(q * grown); });
    if (op.kv_heads == 0) return;
    const uint64_t slot = slot_of(sequence.block_tables[group], position);
    std::ranges::copy(keys, cache.keys(op.cache_layer.index, slot).begin());
    std::ranges::copy(values, cache.values(op.cache_layer.index, slot).begin());
  });
}

void run(const Step& step, const Attention& op) {
  const uint32_t group = step.storage.cache.group(op.cache_layer.index);
  for_each_token(step, [&](uint32_t t, const SequenceInput& sequence, uint32_t position) {
    for (uint32_t h = 0; h < op.heads; ++h) {
      const size_t begin = static_cast<size_t>(h) * op.head_dim;
      attend(step, op, sequence.block_tables[group], position, h, step.row(op.query, t).subspan(begin, op.head_dim),
             step.row(op.out, t).subspan(begin, op.head_dim));
    }
  });
}

void run(const Step& step, const SelectRows& op) {
  for (uint32_t i = 0; i < step.rows(op.out); ++i) {
    std::ranges::copy(step.row(op.in, step.input.logit_rows[i]), step.row(op.out, i).begin());
  }
}

void run(const Step& step, const Logits& op) {
  multiply(step, op.in, op.head, op.out);
  for (uint32_t i = 0; i < step.rows(op.out); ++i) {
    for (float& x : step.row(op.out, i)) x = soft_cap(static_cast<double>(x) * op.scale, op.softcap);
  }
}

void best_candidates(std::span<const float> logits, std::span<TokenLogit> best) {
  std::vector<TokenLogit> all;
  for (size_t token = 0; token < logits.size(); ++token) {
    if (logits[token] > -INFINITY) all.push_back({static_cast<int32_t>(token), logits[token]});
  }
  std::ranges::stable_sort(all, std::greater{}, &TokenLogit::logit);
  for (size_t i = 0; i < best.size(); ++i) best[i] = i < all.size() ? all[i] : TokenLogit{-1, -INFINITY};
}

}  // namespace hearth::reference
