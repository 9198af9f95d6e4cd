#pragma once

#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "device/expert_operations.h"
#include "device/latent_operations.h"
#include "device/operation_parts.h"
#include "device/recurrent_operations.h"

namespace hearth {

/// Rotary embedding of one kind of layer: pair i of a head turns by position * inverse_frequencies[i].
struct RopeSpec {
  std::vector<float> inverse_frequencies;  ///< rotary_dim / 2; dimensions beyond the pairs pass unchanged
  float magnitude = 1.0F;                  ///< factor on cos and sin (yarn's and longrope's attention factor)
  bool interleaved = false;                ///< pairs are (2i, 2i+1); otherwise (i, i + rotary_dim/2)
};

/// out[t] = table[token_ids[t]] * scale
struct Embed {
  MatrixId table;
  float scale = 1.0F;
  TensorId out;

  static constexpr std::string_view kName = "embed";
  template <class Use>
  void uses(Use&& use) {
    use(LooksUp{table});
    use(Writes{out});
  }
};

/// rms(x, w) = x / sqrt(mean(x^2) + epsilon) * w (arXiv 1910.07467); layer(x, w, b) = rms(x - mean(x), w) + b (arXiv
/// 1607.06450).
enum class NormKind : uint8_t { rms, layer };

/// residual = residual_scale * (residual + branch_scale * norm(branch, post_norm)); out = norm(residual, norm,
/// norm_bias). Without `branch` the residual stays as it is; without `post_norm` the branch is added as it is; without
/// `norm` (then `out` is not set either) the residual is only updated. `norm_bias` belongs to layer norms. Where there
/// is a `part`, each row is several rows of so many values, one after another, and vectors are of that size.
struct AddNorm {
  NormKind kind = NormKind::rms;
  TensorId residual;
  std::optional<TensorId> branch;
  std::optional<VectorId> post_norm;
  float branch_scale = 1.0F;
  float residual_scale = 1.0F;
  uint32_t part = 0;
  std::optional<VectorId> norm;
  std::optional<VectorId> norm_bias;
  std::optional<TensorId> out;
  float epsilon = 1e-6F;

  static constexpr std::string_view kName = "add_norm";
  template <class Use>
  void uses(Use&& use) {
    if (branch) {
      use(Reads{*branch});
      use(Updates{residual});
    } else {
      use(Reads{residual});
    }
    if (post_norm) use(NeedsVector{*post_norm});
    if (norm) use(NeedsVector{*norm});
    if (norm_bias) use(NeedsVector{*norm_bias});
    if (out) use(Writes{*out});
  }
};

/// out = in * weight^T + bias. A stacked QKV projection is one Linear whose matrix has three parts.
struct Linear {
  TensorId in;
  MatrixId weight;
  std::optional<VectorId> bias;
  TensorId out;

  static constexpr std::string_view kName = "linear";
  template <class Use>
  void uses(Use&& use) {
    use(Multiplies{in, weight});
    if (bias) use(NeedsVector{*bias});
    use(Writes{out});
  }
};

/// out = activation(in), value by value.
struct Activate {
  TensorId in;
  Activation activation = Activation::silu;
  Xielu xielu;  ///< for Activation::xielu
  TensorId out;

  static constexpr std::string_view kName = "activate";
  template <class Use>
  void uses(Use&& use) {
    use(Reads{in});
    use(Writes{out});
  }
};

/// out = activation(gate + its bias) * (up + its bias), where the matrix has two parts of equal size: gate, then up,
/// and so has the bias. Any activation but xielu.
struct GateUp {
  TensorId in;
  MatrixId gate_up;
  std::optional<VectorId> bias;
  Activation activation = Activation::silu;
  TensorId out;

  static constexpr std::string_view kName = "gate_up";
  template <class Use>
  void uses(Use&& use) {
    use(Multiplies{in, gate_up});
    if (bias) use(NeedsVector{*bias});
    use(Writes{out});
  }
};

/// What a norm of Q and K goes over: each head by itself, with one weight [head_dim] for all; all heads together, with
/// a weight [heads * head_dim]; or each head by itself, less its mean, with a weight of its own, [heads * head_dim].
enum class HeadNorm : uint8_t { each_head, all_heads, layer_norms };

/// Splits qkv rows [(heads + 2 * kv_heads) * head_dim] into heads; norms Q and K (rms) where a weight is given, and V
/// without one where `v_norm`; turns Q and K by `rope` (if any) at each token's position p, before the norm where
/// `norm_after_rope`; multiplies Q by 1 + query_growth * ln(1 + floor((p + query_growth_shift) /
/// query_growth_positions)) where there is a growth; writes K and V of every token to `cache_layer` at its position;
/// writes the Q heads to `out` [heads * head_dim]. Where `values_are_keys`, rows are [(heads + kv_heads) * head_dim]
/// and V is K as it stands there. Without `kv_heads` there is only Q: nothing is written to the cache, which another
/// layer fills.
struct RopeAndStore {
  TensorId qkv;
  uint32_t heads = 0;
  uint32_t kv_heads = 0;
  uint32_t head_dim = 0;
  std::optional<VectorId> q_norm;
  std::optional<VectorId> k_norm;
  bool v_norm = false;
  bool values_are_keys = false;
  HeadNorm head_norm = HeadNorm::each_head;
  bool norm_after_rope = false;
  float epsilon = 1e-6F;
  std::optional<RopeId> rope;
  float query_growth = 0.0F;
  uint32_t query_growth_positions = 1;
  uint32_t query_growth_shift = 0;
  CacheLayerId cache_layer;
  TensorId out;

  /// Heads of a row of qkv.
  uint32_t row_heads() const { return heads + (values_are_keys ? 1 : 2) * kv_heads; }

  static constexpr std::string_view kName = "rope_and_store";
  template <class Use>
  void uses(Use&& use) {
    use(Reads{qkv});
    if (q_norm) use(NeedsVector{*q_norm});
    if (k_norm) use(NeedsVector{*k_norm});
    if (kv_heads > 0) use(WritesCache{cache_layer});
    use(Writes{out});
  }
};

/// Causal attention of each token over its own sequence in the paged cache. Query head h reads KV head
/// h / (heads / kv_heads). score = scale * q.k, then softcap * tanh(score / softcap) when softcap > 0; a token at
/// position p sees positions (p - window, p] when window > 0, else [0, p]; where the window is `chunked`, those of its
/// chunk, [p - p % window, p]. `sinks` [heads] adds exp(sink) to the
/// softmax's denominator.
struct Attention {
  TensorId query;
  uint32_t heads = 0;
  uint32_t kv_heads = 0;
  uint32_t head_dim = 0;
  float scale = 1.0F;
  float softcap = 0.0F;
  uint32_t window = 0;
  bool chunked = false;
  std::optional<VectorId> sinks;
  CacheLayerId cache_layer;
  TensorId out;

  /// That the token at `position` sees.
  uint32_t first_position(uint32_t position) const {
    if (window == 0 || position < window) return 0;
    return chunked ? position - position % window : position + 1 - window;
  }

  static constexpr std::string_view kName = "attention";
  template <class Use>
  void uses(Use&& use) {
    use(Reads{query});
    if (sinks) use(NeedsVector{*sinks});
    use(ReadsCache{cache_layer});
    use(Writes{out});
  }
};

/// out[i] = in[logit_rows[i]]: from rows of tokens to rows of logits.
struct SelectRows {
  TensorId in;
  TensorId out;

  static constexpr std::string_view kName = "select_rows";
  template <class Use>
  void uses(Use&& use) {
    use(Reads{in});
    use(Writes{out});
  }
};

/// out = cap(scale * in * head^T), cap(x) = softcap * tanh(x / softcap) when softcap > 0. Rows of logits; the step's
/// result.
struct Logits {
  TensorId in;
  MatrixId head;
  float scale = 1.0F;
  float softcap = 0.0F;
  TensorId out;

  static constexpr std::string_view kName = "logits";
  template <class Use>
  void uses(Use&& use) {
    use(Multiplies{in, head});
    use(Writes{out});
  }
};

using Operation = std::variant<Embed, AddNorm, Linear, Activate, GateUp, ChooseExperts, ExpertGateUp, ExpertLinear,
                               CombineExperts, CausalConvolution, LinearAttention, GatedNorm, Gate, RopeAndStore,
                               Attention, StoreLatents, HeadLinear, LatentAttention, SelectRows, Logits>;

/// Calls `use` for everything that an operation uses; what it is called with may be changed, of a constant operation
/// without effect.
template <class Use>
void visit_uses(Operation& operation, Use&& use) {
  std::visit([&](auto& op) { op.uses(use); }, operation);
}
template <class Use>
void visit_uses(const Operation& operation, Use&& use) {
  Operation copy = operation;
  visit_uses(copy, use);
}

/// A forward pass as data: what a device compiles into a program. It holds for every step, whatever the batch.
struct Recording {
  std::vector<ActivationSpec> tensors;
  std::vector<RopeSpec> ropes;
  std::vector<Operation> operations;
  TensorId logits;                ///< where Logits writes
  bool has_logits = true;         ///< false where the step's result is only what is handed on in `outputs`
  std::vector<TensorId> inputs;   ///< tensors that the host fills before the first operation (StepInput::activations)
  std::vector<TensorId> outputs;  ///< and those that it gets after the last one (StepOutput::activations)
};

}  // namespace hearth
