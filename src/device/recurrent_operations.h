#pragma once

#include <optional>
#include <string_view>

#include "device/operation_parts.h"

// The operations of layers that remember by a state of fixed size instead of keys and values. A sequence's tokens of a
// step take effect one after another, from the state before the step to the state after it (SequenceInput,
// device/step.h). A layer's operations share its state, each from its own `state_first` on, counted in values.
namespace hearth {

/// Depthwise convolution over the rows of a sequence up to each token: out[t] = f(bias + sum_j weight[j] * x[t - kernel
/// + 1 + j]), weight [kernel, channels], f being silu or nothing. x is the part of `in` from column `first` on; where
/// `gated`, `in` holds from there on B, C and x, and out[t] = C[t] * f(bias + sum_j weight[j] * (B * x)[...]) (LFM2).
/// State [kernel - 1, channels]: the last rows of x, or of B * x, the oldest first.
struct CausalConvolution {
  TensorId in;
  uint32_t first = 0;
  uint32_t channels = 0;
  uint32_t kernel = 0;
  bool gated = false;
  VectorId weight;
  std::optional<VectorId> bias;
  bool silu = false;
  CacheLayerId layer;
  uint32_t state_first = 0;
  TensorId out;

  static constexpr std::string_view kName = "causal_convolution";
  template <class Use>
  void uses(Use&& use) {
    use(Reads{in});
    use(NeedsVector{weight});
    if (bias) use(NeedsVector{*bias});
    use(UpdatesState{layer});
    use(Writes{out});
  }
};

/// How a token changes the state S [key_dim, value_dim] of a head, whose decay is g = exp(decay_rate * step) with step
/// = max(softplus(a + step_bias), least_step): gated_delta: S = g S + k (sigmoid(b) (v - k.(g S))), where k and q are
/// divided by sqrt(their squares' sum + 1e-6) and q by sqrt(key_dim) besides (arXiv 2412.06464); selective: S = g S + k
/// (step * v): Mamba 2, whose B, C and x are k, q and v (arXiv 2405.21060).
enum class StateRule : uint8_t { gated_delta, selective };

/// Attention through a state: out[t] = q.S + skip * v, with S after token t. `in` holds q, k [key_heads * key_dim each]
/// and v [heads * value_dim] from these columns on. Head h has the q and k of key head h / (heads / key_heads), or h %
/// key_heads where `key_heads_alternate`. `rates` holds a, and b for the delta rule, [heads] each, from these columns
/// on; where `rates_by_key_head`, b of a key head's heads and then their a lie together, from `b_first` on, for one key
/// head after another. decay_rate, step_bias and skip are [heads]. State [heads, key_dim, value_dim].
struct LinearAttention {
  StateRule rule = StateRule::gated_delta;
  TensorId in;
  uint32_t q_first = 0, k_first = 0, v_first = 0;
  TensorId rates;
  uint32_t a_first = 0, b_first = 0;
  bool rates_by_key_head = false;
  uint32_t heads = 0;
  uint32_t key_heads = 0;
  bool key_heads_alternate = false;
  uint32_t key_dim = 0;
  uint32_t value_dim = 0;
  VectorId decay_rate;
  VectorId step_bias;
  float least_step = 0.0F;
  std::optional<VectorId> skip;
  CacheLayerId layer;
  uint32_t state_first = 0;
  TensorId out;

  static constexpr float kNormEpsilon = 1e-6F;

  uint32_t key_head(uint32_t head) const { return key_heads_alternate ? head % key_heads : head / (heads / key_heads); }
  /// The columns of `rates` where a head's a and b are.
  uint32_t a_column(uint32_t head) const {
    const uint32_t shared = heads / key_heads;
    return rates_by_key_head ? b_first + head / shared * 2 * shared + shared + head % shared : a_first + head;
  }
  uint32_t b_column(uint32_t head) const {
    const uint32_t shared = heads / key_heads;
    return rates_by_key_head ? b_first + head / shared * 2 * shared + head % shared : b_first + head;
  }

  static constexpr std::string_view kName = "linear_attention";
  template <class Use>
  void uses(Use&& use) {
    use(Reads{in});
    use(Reads{rates});
    use(NeedsVector{decay_rate});
    use(NeedsVector{step_bias});
    if (skip) use(NeedsVector{*skip});
    use(UpdatesState{layer});
    use(Writes{out});
  }
};

/// rms(in, weight) * silu(gate), or rms(in * silu(gate), weight) where `gate_first`; the norm goes over each `group` of
/// consecutive values by itself. weight is [group] for all groups, or [width of out]. The gate is the part of `gates`
/// from column `first` on.
struct GatedNorm {
  TensorId in;
  TensorId gates;
  uint32_t first = 0;
  bool gate_first = false;
  uint32_t group = 0;
  bool weight_for_each_group = false;  ///< [width of out]
  VectorId weight;
  float epsilon = 1e-6F;
  TensorId out;

  static constexpr std::string_view kName = "gated_norm";
  template <class Use>
  void uses(Use&& use) {
    use(Reads{in});
    use(Reads{gates});
    use(NeedsVector{weight});
    use(Writes{out});
  }
};

/// out = in * activation(gate), where the gate has as many values as a row of `out`, or one for all of it; `in` is read
/// from column `first` on. Any activation but xielu.
struct Gate {
  TensorId in;
  uint32_t first = 0;
  TensorId gate;
  Activation activation = Activation::sigmoid;
  TensorId out;

  static constexpr std::string_view kName = "gate";
  template <class Use>
  void uses(Use&& use) {
    use(Reads{in});
    use(Reads{gate});
    use(Writes{out});
  }
};

}  // namespace hearth
