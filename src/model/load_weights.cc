#include "model/load_weights.h"

#include "model/layers/attention.h"
#include "model/layers/dense.h"
#include "model/layers/dense_and_experts.h"
#include "model/layers/experts.h"
#include "model/layers/gated_delta.h"
#include "model/layers/latent_attention.h"
#include "model/layers/layer_inputs.h"
#include "model/layers/mamba2.h"
#include "model/layers/short_convolution.h"
#include "model/weight_plan.h"
#include "model/weight_reader.h"

namespace hearth {
namespace {

NormWeights plan_norm(WeightPlan& plan, const std::string& weight, const std::string& bias, const LayerPlace& place) {
  return {.weight = plan.norm(in_layer(weight, place.layer), place.hidden, place.layer),
          .bias = plan.bias({{in_layer(bias, place.layer), place.hidden}}, place.layer)};
}

// A layer that has only one of its parts has no weights of the other, and no norms.
void plan_mixer(WeightPlan&, const NoMixer&, const TensorNames&, const LayerPlace&, LayerWeights& w) {
  w.mixer = NoWeights{};
}
void plan_mixer(WeightPlan& plan, const auto& config, const TensorNames& n, const LayerPlace& place, LayerWeights& w) {
  plan.begin(WeightKind::mixer);
  w.mixer_norm = plan_norm(plan, n.attention_norm, n.attention_norm_bias, place);
  w.mixer = plan_weights(plan, config, n, place);
  w.mixer_post_norm = plan.norm(in_layer(n.attention_post_norm, place.layer), place.hidden, place.layer);
}
void plan_feed_forward(WeightPlan&, const NoFeedForward&, const TensorNames&, const LayerPlace&, LayerWeights& w) {
  w.feed_forward = NoWeights{};
}
void plan_feed_forward(WeightPlan& plan, const auto& config, const TensorNames& n, const LayerPlace& place,
                       LayerWeights& w) {
  plan.begin(WeightKind::feed_forward);
  w.feed_forward_norm = plan_norm(plan, n.feed_forward_norm, n.feed_forward_norm_bias, place);
  w.feed_forward = plan_weights(plan, config, n, place);
  w.feed_forward_post_norm = plan.norm(in_layer(n.feed_forward_post_norm, place.layer), place.hidden, place.layer);
}

LayerWeights plan_layer(WeightPlan& plan, const DecoderConfig& c, const TensorNames& n, uint32_t i) {
  const LayerPlace place = {.hidden = c.hidden, .layer = i};
  const LayerConfig& layer = c.layers[i];
  LayerWeights w;
  std::visit([&](const auto& config) { plan_mixer(plan, config, n, place, w); }, layer.mixer);
  std::visit([&](const auto& config) { plan_feed_forward(plan, config, n, place, w); }, layer.feed_forward);
  if (c.layer_inputs) w.layer_input = plan_weights(plan, *c.layer_inputs, n, place);
  if (!n.layer_scale.empty()) w.scale = plan.scalar(in_layer(n.layer_scale, i));
  return w;
}

DecoderWeights plan_decoder(WeightPlan& plan, const DecoderDescription& description) {
  const DecoderConfig& c = description.config;
  const TensorNames& n = description.names;
  DecoderWeights w;
  const auto last = static_cast<uint32_t>(c.layers.size() - 1);
  const std::vector<uint32_t> readers = c.tied_embeddings ? std::vector<uint32_t>{0, last} : std::vector<uint32_t>{0};
  w.embedding = plan.matrix(MatrixRole::embedding, {{n.embedding, c.vocabulary}}, c.hidden, readers);
  if (c.layer_inputs) w.layer_inputs = plan_layer_inputs(plan, c, n);
  for (uint32_t i = 0; i < c.layers.size() && !plan.error(); ++i) w.layers.push_back(plan_layer(plan, c, n, i));
  w.output_norm = plan_norm(plan, n.output_norm, n.output_norm_bias, {.hidden = c.hidden, .layer = last});
  w.head = c.tied_embeddings ? w.embedding : plan.matrix(MatrixRole::head, {{n.head, c.vocabulary}}, c.hidden, {last});
  return w;
}

/// Of all vectors and scalars, at once: one after the other each would wait for the disk.
Result<TensorBytes> read_vectors(const Checkpoint& checkpoint, const DecoderDescription& description, ReadQueue& queue,
                                 const std::stop_token& stop) {
  WeightPlan plan(checkpoint, description.config.norm_offset);
  plan_decoder(plan, description);
  if (plan.error()) return std::unexpected(*plan.error());
  return read_tensors(queue, plan.vectors(), stop);
}

}  // namespace

std::string in_layer(const std::string& name, uint32_t layer) {
  std::string result = name;
  const size_t at = result.find("{}");
  if (at != std::string::npos) result.replace(at, 2, std::to_string(layer));
  return result;
}

Result<WeightList> list_weights(const Checkpoint& checkpoint, const DecoderDescription& description) {
  WeightPlan plan(checkpoint, description.config.norm_offset);
  DecoderWeights weights = plan_decoder(plan, description);
  if (plan.error()) return std::unexpected(*plan.error());
  return WeightList{.weights = std::move(weights), .matrices = plan.matrices(), .names = plan.names()};
}

Result<DeclaredWeights> declare_weights(const Checkpoint& checkpoint, const DecoderDescription& description,
                                        Device& device, const ReadOptions& options, ProgressSink& progress,
                                        const std::stop_token& stop) {
  progress.report({.stage = "plan"});
  auto queue = open_read_queue(checkpoint, options);
  if (!queue) return pass_on(queue);
  auto vectors = read_vectors(checkpoint, description, **queue, stop);
  if (!vectors) return pass_on(vectors);
  WeightPlan plan(checkpoint, description.config.norm_offset, device, *vectors);
  DecoderWeights weights = plan_decoder(plan, description);
  if (plan.error()) return std::unexpected(*plan.error());
  return DeclaredWeights{
      .list = {.weights = std::move(weights), .matrices = plan.matrices(), .names = plan.names(), .uses = plan.uses()},
      .sources = plan.sources(),
      .queue = std::move(*queue)};
}

}  // namespace hearth
