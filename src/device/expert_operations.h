#pragma once

#include <optional>
#include <string_view>

#include "device/operation_parts.h"

// The operations of a mixture of experts.
namespace hearth {

/// How scores become weights of experts: the softmax of all scores, of which the chosen ones' are taken; the sigmoid of
/// each; the softmax of the chosen scores alone; or their sigmoids, where scores choose.
enum class RouterKind : uint8_t { softmax, sigmoid, softmax_of_chosen, sigmoid_of_chosen };

/// Chooses experts for each row by its `scores` [experts]: the `chosen` best by weight, or by weight + `correction`
/// where there is one; of equals the lower. With several `groups` of consecutive experts only the `chosen_groups` best
/// are looked at, a group being as good as its best expert, or its two best together (`group_raters`). `normalise`
/// divides the chosen weights by their sum; `scale` multiplies them, and so does each expert's own of `expert_scales`
/// [experts]. out [2 * chosen] holds the experts' numbers, then their weights (arXiv 1701.06538, 2405.04434,
/// 2412.19437).
struct ChooseExperts {
  TensorId scores;
  RouterKind kind = RouterKind::softmax;
  uint32_t experts = 0;
  uint32_t chosen = 0;
  uint32_t groups = 1;
  uint32_t chosen_groups = 1;
  uint32_t group_raters = 2;
  bool normalise = false;
  float scale = 1.0F;
  std::optional<VectorId> correction;
  std::optional<VectorId> expert_scales;
  TensorId out;

  static constexpr std::string_view kName = "route";
  template <class Use>
  void uses(Use&& use) {
    use(Reads{scores});
    if (correction) use(NeedsVector{*correction});
    if (expert_scales) use(NeedsVector{*expert_scales});
    use(Writes{out});
  }
};

/// out [chosen * width], for each route of a row: activation(min(g, limit)) * (clamp(u, -limit, limit) + up_offset)
/// with g = gate of that expert . x + its bias, u = up of that expert . x + its bias; a limit of 0 is none; x is `in`,
/// times the route's weight where `weighs_input`. Both matrices hold the experts' rows one expert after another
/// [experts
/// * width], and so do the biases.
struct ExpertGateUp {
  TensorId in;
  TensorId routes;
  MatrixId gate;
  MatrixId up;
  uint32_t experts = 0;
  uint32_t chosen = 0;
  std::optional<VectorId> gate_bias;
  std::optional<VectorId> up_bias;  ///< there where the gates' is
  Activation activation = Activation::silu;
  float limit = 0.0F;
  float up_offset = 0.0F;
  bool weighs_input = false;
  TensorId out;

  static constexpr std::string_view kName = "expert_gate_up";
  template <class Use>
  void uses(Use&& use) {
    use(Reads{routes});
    use(MultipliesChosen{in, gate, chosen, experts});
    use(MultipliesChosen{in, up, chosen, experts});
    if (gate_bias) use(NeedsVector{*gate_bias});
    if (up_bias) use(NeedsVector{*up_bias});
    use(Writes{out});
  }
};

/// out [chosen * outputs], for each route of a row: that expert's rows of `weight` [experts * outputs] times the
/// route's part of in [chosen * columns], or in [columns] where all routes read the same, plus its part of the bias
/// [experts * outputs].
struct ExpertLinear {
  TensorId in;
  TensorId routes;
  MatrixId weight;
  uint32_t experts = 0;
  uint32_t chosen = 0;
  bool same_input = false;  ///< for all routes of a row
  std::optional<VectorId> bias;
  TensorId out;

  static constexpr std::string_view kName = "expert_linear";
  template <class Use>
  void uses(Use&& use) {
    use(Reads{routes});
    use(MultipliesChosen{in, weight, chosen, experts});
    if (bias) use(NeedsVector{*bias});
    use(Writes{out});
  }
};

/// out = the sum over a row's routes of weight * that route's part of in [chosen * width], plus `shared` where there is
/// one. The weights are all 1 where not `weighted`.
struct CombineExperts {
  TensorId in;
  TensorId routes;
  uint32_t chosen = 0;
  bool weighted = true;
  std::optional<TensorId> shared;
  TensorId out;

  static constexpr std::string_view kName = "combine_experts";
  template <class Use>
  void uses(Use&& use) {
    use(Reads{in});
    use(Reads{routes});
    if (shared) use(Reads{*shared});
    use(Writes{out});
  }
};

}  // namespace hearth
