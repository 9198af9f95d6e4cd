#include "model/forward.h"

#include "model/layers/attention.h"
#include "model/layers/dense.h"
#include "model/layers/dense_and_experts.h"
#include "model/layers/experts.h"
#include "model/layers/gated_delta.h"
#include "model/layers/latent_attention.h"
#include "model/layers/layer_inputs.h"
#include "model/layers/mamba2.h"
#include "model/layers/short_convolution.h"
#include "model/recorder.h"

namespace hearth {
namespace {

class ForwardRecorder {
 public:
  ForwardRecorder(const DecoderConfig& config, const DecoderWeights& weights)
      : c_(config), w_(weights), cache_layers_(weights.layers.size()) {}

  Recording record() {
    residual_ = r_.tensor("residual", c_.hidden);
    r_.emit(Embed{.table = w_.embedding, .scale = c_.embedding_scale, .out = residual_});
    if (c_.layer_inputs) layer_inputs_ = record_layer_inputs(r_, c_, *w_.layer_inputs, residual_);
    in_ = norm(first_norm(0));
    for (uint32_t i = 0; i < w_.layers.size(); ++i) layer(i);
    const TensorId logits = r_.tensor("logits", c_.vocabulary);
    r_.emit(Logits{.in = in_, .head = w_.head, .scale = c_.logit_scale, .softcap = c_.logit_softcap, .out = logits});
    Recording recording = std::move(r_.recording());
    recording.ropes = c_.ropes;
    recording.logits = logits;
    return recording;
  }

 private:
  /// From the normed residual to that of the next layer, or of the head. In the last layer only the rows whose logits
  /// are wanted go on once tokens have seen each other.
  void layer(uint32_t i) {
    const LayerWeights& w = w_.layers[i];
    const bool last = i + 1 == w_.layers.size();
    const bool parallel = c_.layers[i].parallel;
    std::optional<TensorId> mixed = mix(i);
    if (last) {
      r_.continue_with_logit_rows();
      const bool reads_residual = in_.index == residual_.index;
      residual_ = r_.select(residual_);
      if (mixed) mixed = r_.select(*mixed);
      if (parallel || !mixed) in_ = reads_residual ? residual_ : r_.select(in_);
      if (w.layer_input) layer_inputs_ = r_.select(*layer_inputs_);
    }
    const bool ends_with_parts = !w.layer_input;
    const NormWeights behind = ends_with_parts ? next_norm(i) : NormWeights{};
    const float scale = ends_with_parts ? w.scale : 1.0F;
    if (mixed && parallel) {
      add_and_norm(project(i, *mixed), w.mixer_post_norm, {});
    } else if (mixed && has_feed_forward(i)) {
      in_ = add_and_norm(project(i, *mixed), w.mixer_post_norm, w.feed_forward_norm);
    } else if (mixed) {
      in_ = add_and_norm(project(i, *mixed), w.mixer_post_norm, behind, scale);
    }
    if (has_feed_forward(i)) in_ = add_and_norm(feed_forward(i), w.feed_forward_post_norm, behind, scale);
    if (w.layer_input) in_ = add_and_norm(layer_input(i), w.layer_input->post_norm, next_norm(i), w.scale);
  }

  bool has_feed_forward(uint32_t i) const { return !std::holds_alternative<NoFeedForward>(c_.layers[i].feed_forward); }

  /// The norm of a layer's first part, and the one behind its last.
  const NormWeights& first_norm(uint32_t i) const {
    if (!std::holds_alternative<NoMixer>(c_.layers[i].mixer)) return w_.layers[i].mixer_norm;
    return has_feed_forward(i) ? w_.layers[i].feed_forward_norm : next_norm(i);
  }
  const NormWeights& next_norm(uint32_t i) const {
    return i + 1 == w_.layers.size() ? w_.output_norm : first_norm(i + 1);
  }

  std::optional<TensorId> mix(uint32_t i) {
    return std::visit(Overloaded{[](const NoMixer&) { return std::optional<TensorId>(); },
                                 [&](const auto& config) {
                                   using Weights = WeightsOf<std::decay_t<decltype(config)>>;
                                   const auto& weights = std::get<Weights>(w_.layers[i].mixer);
                                   const CacheLayerId cache = cache_layer(i, config);
                                   return std::optional(record_mixer(r_, config, weights, c_.norm_epsilon, cache, in_));
                                 }},
                      c_.layers[i].mixer);
  }

  /// A layer's own, or that of the layer whose K and V it reads.
  template <class Config>
  CacheLayerId cache_layer(uint32_t i, const Config& config) {
    if constexpr (std::is_same_v<Config, AttentionConfig>) {
      if (config.reads_layer) return cache_layers_[*config.reads_layer];
    }
    return cache_layers_[i] = {cache_layer_count_++};
  }

  TensorId project(uint32_t i, TensorId mixed) {
    const TensorId branch = r_.tensor("branch", c_.hidden);
    std::visit(Overloaded{[](const NoWeights&) {},
                          [&](const auto& w) {
                            r_.emit(Linear{.in = mixed, .weight = w.output, .bias = w.output_bias, .out = branch});
                          }},
               w_.layers[i].mixer);
    return branch;
  }

  TensorId feed_forward(uint32_t i) {
    const TensorId branch = r_.tensor("branch", c_.hidden);
    std::visit(Overloaded{[](const NoFeedForward&) {},
                          [&](const DenseAndExpertsConfig& config) {
                            const auto& weights = std::get<DenseAndExpertsWeights>(w_.layers[i].feed_forward);
                            record_feed_forward(r_, config, weights, c_.norm_epsilon, residual_, in_, branch);
                          },
                          [&](const auto& config) {
                            using Weights = WeightsOf<std::decay_t<decltype(config)>>;
                            const auto& weights = std::get<Weights>(w_.layers[i].feed_forward);
                            record_feed_forward(r_, config, weights, in_, branch);
                          }},
               c_.layers[i].feed_forward);
    return branch;
  }

  TensorId layer_input(uint32_t i) {
    const TensorId branch = r_.tensor("branch", c_.hidden);
    record_layer_input(r_, *c_.layer_inputs, *w_.layers[i].layer_input, i, *layer_inputs_, residual_, branch);
    return branch;
  }

  /// What the next part reads: the normed residual, or the residual itself where there is no norm.
  TensorId add_and_norm(std::optional<TensorId> branch, std::optional<VectorId> post_norm, const NormWeights& norm,
                        float residual_scale = 1.0F) {
    const TensorId normed = norm.weight ? r_.tensor("normed", c_.hidden) : residual_;
    if (branch || norm.weight) {
      r_.emit(AddNorm{.kind = c_.norm,
                      .residual = residual_,
                      .branch = branch,
                      .post_norm = post_norm,
                      .branch_scale = c_.branch_scale,
                      .residual_scale = residual_scale,
                      .norm = norm.weight,
                      .norm_bias = norm.bias,
                      .out = norm.weight ? std::optional(normed) : std::nullopt,
                      .epsilon = c_.norm_epsilon});
    }
    return normed;
  }
  TensorId norm(const NormWeights& weights) { return add_and_norm({}, {}, weights); }

  const DecoderConfig& c_;
  const DecoderWeights& w_;
  Recorder r_;
  TensorId residual_;
  TensorId in_;  ///< what the next part of the decoder reads
  std::optional<TensorId> layer_inputs_;
  std::vector<CacheLayerId> cache_layers_;  ///< of each layer that has its own
  uint32_t cache_layer_count_ = 0;
};

}  // namespace

Recording record_forward(const DecoderConfig& config, const DecoderWeights& weights) {
  return ForwardRecorder(config, weights).record();
}

}  // namespace hearth
