#include "model/forward.h"

namespace hearth {
namespace {

/// The activations between operations. In the last layer only the rows whose logits are wanted go on after attention.
struct Activations {
  TensorId residual, normed, mixed, branch, activated;
};

class ForwardRecorder {
 public:
  ForwardRecorder(const DecoderConfig& config, const DecoderWeights& weights) : c_(config), w_(weights) {}

  Recording record() {
    recording_.ropes = c_.ropes;
    Activations a = declare(Rows::tokens, "");
    qkv_ = tensor("qkv", Rows::tokens, (c_.heads + 2 * c_.kv_heads) * c_.head_dim);
    query_ = tensor("query", Rows::tokens, c_.heads * c_.head_dim);

    emit(Embed{.table = w_.embedding, .scale = c_.embedding_scale, .out = a.residual});
    add_norm(a, {}, {}, w_.layers.front().attention_norm);
    for (uint32_t i = 0; i < w_.layers.size(); ++i) {
      attention(a, i);
      const bool last = i + 1 == w_.layers.size();
      if (last) a = select_logit_rows(a);
      feed_forward(a, w_.layers[i], last ? w_.output_norm : w_.layers[i + 1].attention_norm);
    }
    recording_.logits = tensor("logits", Rows::logits, c_.vocabulary);
    emit(Logits{.in = a.normed, .head = w_.head, .softcap = c_.logit_softcap, .out = recording_.logits});
    return std::move(recording_);
  }

 private:
  void attention(const Activations& a, uint32_t i) {
    const LayerWeights& layer = w_.layers[i];
    emit(Linear{.in = a.normed, .weight = layer.qkv, .bias = layer.qkv_bias, .out = qkv_});
    emit(RopeAndStore{.qkv = qkv_,
                      .heads = c_.heads,
                      .kv_heads = c_.kv_heads,
                      .head_dim = c_.head_dim,
                      .q_norm = layer.q_norm,
                      .k_norm = layer.k_norm,
                      .epsilon = c_.norm_epsilon,
                      .rope = RopeId{c_.layers[i].rope},
                      .cache_layer = i,
                      .out = query_});
    emit(Attention{.query = query_,
                   .heads = c_.heads,
                   .kv_heads = c_.kv_heads,
                   .head_dim = c_.head_dim,
                   .scale = c_.attention_scale,
                   .softcap = c_.attention_softcap,
                   .window = c_.layers[i].window,
                   .cache_layer = i,
                   .out = a.mixed});
  }

  /// From the attention's output to the normed input of the next layer, or of the head.
  void feed_forward(const Activations& a, const LayerWeights& layer, std::optional<VectorId> next_norm) {
    emit(Linear{.in = a.mixed, .weight = layer.output, .bias = layer.output_bias, .out = a.branch});
    add_norm(a, a.branch, layer.attention_post_norm, layer.feed_forward_norm);
    emit(GateUp{.in = a.normed,
                .gate_up = layer.gate_up,
                .bias = layer.gate_up_bias,
                .activation = c_.activation,
                .out = a.activated});
    emit(Linear{.in = a.activated, .weight = layer.down, .bias = layer.down_bias, .out = a.branch});
    add_norm(a, a.branch, layer.feed_forward_post_norm, next_norm);
  }

  Activations select_logit_rows(const Activations& a) {
    const Activations selected = declare(Rows::logits, "selected_");
    emit(SelectRows{.in = a.residual, .out = selected.residual});
    emit(SelectRows{.in = a.mixed, .out = selected.mixed});
    return selected;
  }

  void add_norm(const Activations& a, std::optional<TensorId> branch, std::optional<VectorId> post_norm,
                std::optional<VectorId> norm) {
    emit(AddNorm{.residual = a.residual,
                 .branch = branch,
                 .post_norm = post_norm,
                 .norm = norm,
                 .out = a.normed,
                 .epsilon = c_.norm_epsilon});
  }

  Activations declare(Rows rows, const std::string& prefix) {
    return {.residual = tensor(prefix + "residual", rows, c_.hidden),
            .normed = tensor(prefix + "normed", rows, c_.hidden),
            .mixed = tensor(prefix + "mixed", rows, c_.heads * c_.head_dim),
            .branch = tensor(prefix + "branch", rows, c_.hidden),
            .activated = tensor(prefix + "activated", rows, c_.feed_forward)};
  }

  TensorId tensor(std::string name, Rows rows, uint32_t width) {
    recording_.tensors.push_back({std::move(name), rows, width});
    return {static_cast<uint32_t>(recording_.tensors.size() - 1)};
  }

  void emit(Operation operation) { recording_.operations.push_back(operation); }

  const DecoderConfig& c_;
  const DecoderWeights& w_;
  Recording recording_;
  TensorId qkv_, query_;
};

}  // namespace

Recording record_forward(const DecoderConfig& config, const DecoderWeights& weights) {
  return ForwardRecorder(config, weights).record();
}

}  // namespace hearth
