#pragma once

#include <string_view>

#include "device/operation_parts.h"

// The operations of multi-head latent attention (arXiv 2405.04434) in its absorbed form: a token leaves one row behind,
// its latent and a key that turns with its position, which all heads read. What a head would make of the latent, its
// key and its value, is instead made of its query, before, and of what it took, after.
namespace hearth {

/// Rows of the cache [latent_dim + rope_dim] (LatentRows): the rms norm of the first latent_dim values of `latents`,
/// then its other rope_dim values turned by `rope`. Of each head's [nope_dim + rope_dim] in `query` the last rope_dim
/// are turned, too, and written to the end of that head's [latent_dim + rope_dim] in `out`, whose beginnings are then
/// written by HeadLinear.
struct StoreLatents {
  TensorId query;
  TensorId latents;
  uint32_t heads = 0;
  uint32_t nope_dim = 0;
  uint32_t rope_dim = 0;
  uint32_t latent_dim = 0;
  VectorId norm;
  float epsilon = 1e-6F;
  RopeId rope;
  CacheLayerId cache_layer;
  TensorId out;

  static constexpr std::string_view kName = "store_latents";
  template <class Use>
  void uses(Use&& use) {
    use(Reads{query});
    use(Reads{latents});
    use(NeedsVector{norm});
    use(WritesCache{cache_layer});
    use(Writes{out});
  }
};

/// Of each head's equal share of `in` the first values meet that head's rows of `weight` [heads * outputs, columns];
/// the products are the first values of its share of `out`. Where shares of `out` are larger, the rest stays as it is.
struct HeadLinear {
  TensorId in;
  MatrixId weight;
  uint32_t heads = 0;
  bool fills_shares = true;  ///< shares of `out` are no larger
  TensorId out;

  static constexpr std::string_view kName = "head_linear";
  template <class Use>
  void uses(Use&& use) {
    use(MultipliesChosen{in, weight, heads, heads});
    if (fills_shares) {
      use(Writes{out});
    } else {
      use(Updates{out});
    }
  }
};

/// Causal attention of each token over the latent rows of its own sequence: score = scale * q.row for a head's query
/// [width]; its result [value_dim] is the softmax's mean of the rows' first value_dim values.
struct LatentAttention {
  TensorId query;
  uint32_t heads = 0;
  uint32_t width = 0;
  uint32_t value_dim = 0;
  float scale = 1.0F;
  CacheLayerId cache_layer;
  TensorId out;

  static constexpr std::string_view kName = "latent_attention";
  template <class Use>
  void uses(Use&& use) {
    use(Reads{query});
    use(ReadsCache{cache_layer});
    use(Writes{out});
  }
};

}  // namespace hearth
