#include "model/layers/attention.h"

namespace hearth {
namespace {

/// Of each head of a Q projection that gives gates too, the rows from `first` on: a head has its queries', then its
/// gates'.
std::vector<TensorRows> rows_of_heads(const AttentionConfig& c, const std::string& name, uint32_t first) {
  std::vector<TensorRows> parts;
  for (uint32_t h = 0; h < c.heads; ++h) {
    parts.push_back({name, c.head_dim, 2 * h * c.head_dim + first, 2 * c.q_width()});
  }
  return parts;
}

/// A tensor for each head, in whose name its number stands for `{h}`.
std::vector<TensorRows> norms_of_heads(const AttentionConfig& c, const std::string& name, uint32_t heads) {
  constexpr std::string_view kHead = "{h}";
  std::vector<TensorRows> norms(heads, {name, c.head_dim});
  for (uint32_t h = 0; h < heads; ++h) norms[h].name.replace(name.find(kHead), kHead.size(), std::to_string(h));
  return norms;
}

}  // namespace

AttentionWeights plan_weights(WeightPlan& plan, const AttentionConfig& c, const TensorNames& n,
                              const LayerPlace& place) {
  const uint32_t i = place.layer;
  const auto name = [&](const std::string& pattern) { return in_layer(pattern, i); };
  AttentionWeights w;
  const uint32_t q = c.q_width(), kv = c.kv_width(), all = q + 2 * kv;
  const std::string fused = name(n.qkv);
  std::vector<TensorRows> parts = {{name(n.q), q}}, biases = {{name(n.q_bias), q}};
  if (c.gated) {
    parts = rows_of_heads(c, name(n.q), 0);
    w.gate = plan.matrix(MatrixRole::stacked, rows_of_heads(c, name(n.q), c.head_dim), place.hidden, {i});
  }
  if (!c.reads_layer) {
    parts.push_back({name(n.k), kv});
    biases.push_back({name(n.k_bias), kv});
  }
  if (!c.reads_layer && !c.values_are_keys) {
    parts.push_back({name(n.v), kv});
    biases.push_back({name(n.v_bias), kv});
  }
  if (!fused.empty()) parts = {{fused, q, 0, all}, {fused, kv, q, all}, {fused, kv, q + kv, all}};
  w.qkv = plan.matrix(MatrixRole::stacked, parts, place.hidden, {i});
  w.qkv_bias = plan.bias(biases, i);
  const auto head_norm = [&](const std::string& pattern, uint32_t heads) {
    if (pattern.find("{h}") != pattern.npos) return plan.bias(norms_of_heads(c, name(pattern), heads), i);
    if (!pattern.empty() && c.head_norm == HeadNorm::layer_norms) {
      return std::optional(plan.vector(name(pattern), {{heads, c.head_dim}}, i));
    }
    const bool is_one = c.head_norm == HeadNorm::each_head;
    return plan.norm(name(pattern), (is_one ? 1 : heads) * c.head_dim, i);
  };
  w.q_norm = head_norm(n.q_norm, c.heads);
  if (c.unweighted_norms) w.q_norm = w.k_norm = plan.ones(c.head_dim, i);
  if (!c.reads_layer && !c.unweighted_norms) w.k_norm = head_norm(n.k_norm, c.kv_heads);
  if (!n.sinks.empty()) w.sinks = plan.vector(name(n.sinks), {{c.heads}}, i);
  w.output = plan.matrix(MatrixRole::stacked, {{name(n.output), place.hidden}}, c.q_width(), {i});
  w.output_bias = plan.bias({{name(n.output_bias), place.hidden}}, i);
  return w;
}

TensorId record_mixer(Recorder& r, const AttentionConfig& c, const AttentionWeights& w, float norm_epsilon,
                      CacheLayerId cache, TensorId in) {
  RopeAndStore rope = {.heads = c.heads,
                       .kv_heads = c.reads_layer ? 0 : c.kv_heads,
                       .head_dim = c.head_dim,
                       .q_norm = w.q_norm,
                       .k_norm = w.k_norm,
                       .v_norm = c.v_norm,
                       .values_are_keys = c.values_are_keys,
                       .head_norm = c.head_norm,
                       .norm_after_rope = c.norm_after_rope,
                       .epsilon = norm_epsilon,
                       .rope = c.rope ? std::optional(RopeId{*c.rope}) : std::nullopt,
                       .query_growth = c.query_growth,
                       .query_growth_positions = c.query_growth_positions,
                       .query_growth_shift = c.query_growth_shift,
                       .cache_layer = cache};
  const TensorId qkv = r.tensor("qkv", rope.row_heads() * c.head_dim);
  const TensorId query = r.tensor("query", c.q_width());
  const TensorId mixed = r.tensor("mixed", c.q_width());
  r.emit(Linear{.in = in, .weight = w.qkv, .bias = w.qkv_bias, .out = qkv});
  rope.qkv = qkv;
  rope.out = query;
  r.emit(rope);
  r.emit(Attention{.query = query,
                   .heads = c.heads,
                   .kv_heads = c.kv_heads,
                   .head_dim = c.head_dim,
                   .scale = c.scale,
                   .softcap = c.softcap,
                   .window = c.window,
                   .chunked = c.chunked,
                   .sinks = w.sinks,
                   .cache_layer = cache,
                   .out = mixed});
  if (!w.gate) return mixed;
  const TensorId gate = r.tensor("gate", c.q_width()), gated = r.tensor("gated", c.q_width());
  r.emit(Linear{.in = in, .weight = *w.gate, .out = gate});
  r.emit(Gate{.in = mixed, .gate = gate, .out = gated});
  return gated;
}

}  // namespace hearth
