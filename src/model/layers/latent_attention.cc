#include "model/layers/latent_attention.h"

namespace hearth {
namespace {

/// Each head's rows of a tensor in which they lie head by head: `rows` of `head_rows`, from `first` on.
std::vector<TensorRows> rows_of_heads(const std::string& name, uint32_t heads, uint32_t head_rows, uint32_t first,
                                      uint32_t rows) {
  std::vector<TensorRows> parts;
  for (uint32_t h = 0; h < heads; ++h) {
    parts.push_back({.name = name, .rows = rows, .first = h * head_rows + first, .tensor_rows = heads * head_rows});
  }
  return parts;
}

void plan_heads(WeightPlan& plan, const LatentAttentionConfig& c, const TensorNames& n, uint32_t layer,
                LatentAttentionWeights& w) {
  if (n.kv_b.empty()) {
    w.key = plan.heads(in_layer(n.k_b, layer), c.heads, c.latent_dim, c.nope_dim, layer);
    w.value = plan.heads(in_layer(n.v_b, layer), c.heads, c.value_dim, c.latent_dim, layer);
    return;
  }
  const std::string kv_b = in_layer(n.kv_b, layer);
  const uint32_t both = c.nope_dim + c.value_dim;
  w.key = plan.transposed_heads(rows_of_heads(kv_b, c.heads, both, 0, c.nope_dim), c.latent_dim, layer);
  w.value = plan.heads(rows_of_heads(kv_b, c.heads, both, c.nope_dim, c.value_dim), c.latent_dim, layer);
}

}  // namespace

LatentAttentionWeights plan_weights(WeightPlan& plan, const LatentAttentionConfig& c, const TensorNames& n,
                                    const LayerPlace& place) {
  const uint32_t i = place.layer, hidden = place.hidden;
  const auto name = [&](const std::string& pattern) { return in_layer(pattern, i); };
  const auto matrix = [&](const std::string& pattern, uint32_t rows, uint32_t cols) {
    return plan.matrix(MatrixRole::stacked, {{name(pattern), rows}}, cols, {i});
  };
  LatentAttentionWeights w;
  if (c.q_rank > 0) {
    w.q_a = matrix(n.q_a, c.q_rank, hidden);
    w.q_a_bias = plan.bias({{name(n.q_a_bias), c.q_rank}}, i);
    w.q_a_norm = plan.norm(name(n.q_a_norm), c.q_rank, i);
  }
  w.q = matrix(n.q, c.heads * c.head_dim(), c.q_rank > 0 ? c.q_rank : hidden);
  w.kv_a = matrix(n.kv_a, c.row_width(), hidden);
  w.kv_a_bias = plan.bias({{name(n.kv_a_bias), c.row_width()}}, i);
  w.kv_a_norm = plan.norm(name(n.kv_a_norm), c.latent_dim, i).value_or(VectorId{});
  plan_heads(plan, c, n, i, w);
  w.output = matrix(n.output, hidden, c.heads * c.value_dim);
  w.output_bias = plan.bias({{name(n.output_bias), hidden}}, i);
  return w;
}

TensorId record_mixer(Recorder& r, const LatentAttentionConfig& c, const LatentAttentionWeights& w,
                      float /*norm_epsilon*/, CacheLayerId cache, TensorId in) {
  TensorId q_in = in;
  if (w.q_a) {
    const TensorId low = r.tensor("q_low", c.q_rank);
    q_in = r.tensor("q_low_normed", c.q_rank);
    r.emit(Linear{.in = in, .weight = *w.q_a, .bias = w.q_a_bias, .out = low});
    r.emit(AddNorm{.residual = low, .norm = w.q_a_norm, .out = q_in, .epsilon = c.norm_epsilon});
  }
  const TensorId q = r.tensor("q", c.heads * c.head_dim()), latents = r.tensor("latents", c.row_width());
  const TensorId query = r.tensor("latent_query", c.heads * c.row_width());
  const TensorId attended = r.tensor("attended_latents", c.heads * c.latent_dim);
  const TensorId mixed = r.tensor("mixed", c.heads * c.value_dim);
  r.emit(Linear{.in = q_in, .weight = w.q, .out = q});
  r.emit(Linear{.in = in, .weight = w.kv_a, .bias = w.kv_a_bias, .out = latents});
  r.emit(StoreLatents{.query = q,
                      .latents = latents,
                      .heads = c.heads,
                      .nope_dim = c.nope_dim,
                      .rope_dim = c.rope_dim,
                      .latent_dim = c.latent_dim,
                      .norm = w.kv_a_norm,
                      .epsilon = c.norm_epsilon,
                      .rope = RopeId{c.rope},
                      .cache_layer = cache,
                      .out = query});
  r.emit(HeadLinear{.in = q, .weight = w.key, .heads = c.heads, .fills_shares = false, .out = query});
  r.emit(LatentAttention{.query = query,
                         .heads = c.heads,
                         .width = c.row_width(),
                         .value_dim = c.latent_dim,
                         .scale = c.scale,
                         .cache_layer = cache,
                         .out = attended});
  r.emit(HeadLinear{.in = attended, .weight = w.value, .heads = c.heads, .out = mixed});
  return mixed;
}

}  // namespace hearth
