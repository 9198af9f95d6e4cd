#pragma once

#include <concepts>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace hearth {

/// How many rows an activation tensor has in a step.
enum class Rows : uint8_t {
  tokens,  ///< one row for each token of the batch
  logits,  ///< one row for each token whose logits were asked for
};

/// An activation tensor of a recording: float32 [rows, width], row-major.
struct ActivationSpec {
  std::string name;
  Rows rows = Rows::tokens;
  uint32_t width = 0;
};

/// Index into Recording::tensors.
struct TensorId {
  uint32_t index = 0;
};
/// A weight matrix that the device holds (Device::declare_matrix).
struct MatrixId {
  uint32_t index = 0;
};
/// A float32 vector that the device holds, such as a norm's weight or a bias (Device::upload_vector).
struct VectorId {
  uint32_t index = 0;
};
/// A layer of the KV cache that the device holds (CacheSpec::layers).
struct CacheLayerId {
  uint32_t index = 0;
};
/// Index into Recording::ropes.
struct RopeId {
  uint32_t index = 0;
};

/// Rotary embedding of one kind of layer: pair i of a head turns by position * inverse_frequencies[i].
struct RopeSpec {
  std::vector<float> inverse_frequencies;  ///< rotary_dim / 2; dimensions beyond the pairs pass unchanged
  float magnitude = 1.0F;                  ///< factor on cos and sin (yarn's and longrope's attention factor)
  bool interleaved = false;                ///< pairs are (2i, 2i+1); otherwise (i, i + rotary_dim/2)
};

// Each operation says once, in `uses`, what it reads, writes and needs of the device: it calls `use` with one of the
// following for every field that names something, what is read before what is written. All who ask take it from there
// (visit_uses, device/operation_uses.h): what lives how long, what crosses from device to device, which matrices are
// multiplied. Where a device has to answer for each operation, it visits them one by one, without a default, so that an
// operation that is new does not compile until everybody has answered.

/// Rows of a tensor are read as they are.
struct Reads {
  TensorId& tensor;
};
/// Rows of a tensor are written, whatever was there.
struct Writes {
  TensorId& tensor;
};
/// Rows of a tensor are read and changed.
struct Updates {
  TensorId& tensor;
};
/// Rows of `in` meet all rows of `matrix`: in * matrix^T.
struct Multiplies {
  TensorId& in;
  MatrixId& matrix;
};
/// One row of a matrix is read for each token.
struct LooksUp {
  MatrixId& table;
};
struct NeedsVector {
  VectorId& vector;
};
/// K and V of the step's tokens are written, or those of all that its tokens see are read.
struct WritesCache {
  CacheLayerId& layer;
};
struct ReadsCache {
  CacheLayerId& layer;
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

/// residual += branch_scale * norm(branch, post_norm); out = norm(residual, norm, norm_bias).
/// Without `branch` nothing is added; without `post_norm` the branch is added as it is; without `norm` (then `out` is
/// not set either) the residual is only updated. `norm_bias` belongs to layer norms.
struct AddNorm {
  NormKind kind = NormKind::rms;
  TensorId residual;
  std::optional<TensorId> branch;
  std::optional<VectorId> post_norm;
  float branch_scale = 1.0F;
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

/// silu(x) = x / (1 + e^-x); gelu(x) = x / 2 (1 + erf(x / sqrt 2)); gelu_tanh(x) = x / 2 (1 + tanh(sqrt(2 / pi) (x +
/// 0.044715 x^3))), which approximates it (arXiv 1606.08415); relu(x) = max(x, 0), and its square (arXiv 2109.08668);
/// xielu is x (positive * x + linear) above 0, else negative * (e^min(x, bound) - 1 - x) + linear * x (arXiv
/// 2411.13010).
enum class Activation : uint8_t { silu, gelu, gelu_tanh, relu, relu_squared, xielu };

/// The numbers of Activation::xielu.
struct Xielu {
  float positive = 0.8F, negative = 0.8F, linear = 0.5F, bound = -1e-6F;
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

/// What a norm of Q and K goes over: each head by itself, with one weight [head_dim] for all; or all heads together,
/// with a weight [heads * head_dim].
enum class HeadNorm : uint8_t { each_head, all_heads };

/// Splits qkv rows [(heads + 2 * kv_heads) * head_dim] into heads; norms Q and K (rms) where a weight is given; turns
/// heads by `rope` (if any) at each token's position p, before the norm where `norm_after_rope`; multiplies Q by 1 +
/// query_growth * ln(1 + floor(p / query_growth_positions)) where there is a growth; writes K and V of every token to
/// `cache_layer` at its position; writes the Q heads to `out` [heads * head_dim].
struct RopeAndStore {
  TensorId qkv;
  uint32_t heads = 0;
  uint32_t kv_heads = 0;
  uint32_t head_dim = 0;
  std::optional<VectorId> q_norm;
  std::optional<VectorId> k_norm;
  HeadNorm head_norm = HeadNorm::each_head;
  bool norm_after_rope = false;
  float epsilon = 1e-6F;
  std::optional<RopeId> rope;
  float query_growth = 0.0F;
  uint32_t query_growth_positions = 1;
  CacheLayerId cache_layer;
  TensorId out;

  static constexpr std::string_view kName = "rope_and_store";
  template <class Use>
  void uses(Use&& use) {
    use(Reads{qkv});
    if (q_norm) use(NeedsVector{*q_norm});
    if (k_norm) use(NeedsVector{*k_norm});
    use(WritesCache{cache_layer});
    use(Writes{out});
  }
};

/// Causal attention of each token over its own sequence in the paged cache. Query head h reads KV head
/// h / (heads / kv_heads). score = scale * q.k, then softcap * tanh(score / softcap) when softcap > 0; a token at
/// position p sees positions (p - window, p] when window > 0, else [0, p]. `sinks` [heads] adds exp(sink) to the
/// softmax's denominator.
struct Attention {
  TensorId query;
  uint32_t heads = 0;
  uint32_t kv_heads = 0;
  uint32_t head_dim = 0;
  float scale = 1.0F;
  float softcap = 0.0F;
  uint32_t window = 0;
  std::optional<VectorId> sinks;
  CacheLayerId cache_layer;
  TensorId out;

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

using Operation = std::variant<Embed, AddNorm, Linear, Activate, GateUp, RopeAndStore, Attention, SelectRows, Logits>;

/// One of several operations: for answers that are the same for each of them.
template <class T, class... Of>
concept OneOf = (std::same_as<T, Of> || ...);

/// A visitor made of lambdas.
template <class... Lambdas>
struct Overloaded : Lambdas... {
  using Lambdas::operator()...;
};

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
