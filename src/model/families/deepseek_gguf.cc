#include "model/families/deepseek_gguf.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "model/families/expert_fields.h"
#include "model/rope.h"

namespace hearth {
namespace {

using fields::GgufFields;

/// Newer files have each head's key and value matrices apart and give the sizes of what is cached as key_length and
/// value_length; older ones have them together, as Hugging Face has, and give those of a head.
bool has_parted_heads(const Gguf& gguf) { return !gguf.contains("blk.0.attn_kv_b.weight"); }

void set_sizes(GgufFields& f, LatentAttentionConfig& c, const AttentionConfig& cached) {
  const bool is_parted = has_parted_heads(f.gguf());
  c.heads = cached.heads;
  c.latent_dim = f.u32("attention.kv_lora_rank");
  c.rope_dim = f.u32("rope.dimension_count");
  c.q_rank = f.u32("attention.q_lora_rank", 0);
  const uint32_t value_length = f.u32("attention.value_length");
  const uint32_t head_dim = is_parted ? f.u32("attention.key_length_mla") : cached.head_dim;
  c.value_dim = is_parted ? f.u32("attention.value_length_mla") : value_length;
  if (f.error()) return;
  const auto expect = [&](const char* key, uint32_t is, uint32_t should) {
    if (is == should) return;
    f.fail({ErrorCode::corrupt, fmt::format("{} is {}, where its latent attention has {}", key, is, should), ""});
  };
  expect("attention.head_count_kv", cached.kv_heads, is_parted ? 1 : cached.heads);
  if (is_parted) expect("attention.key_length", cached.head_dim, c.latent_dim + c.rope_dim);
  if (is_parted) expect("attention.value_length", value_length, c.latent_dim);
  if (head_dim <= c.rope_dim) {
    f.fail({ErrorCode::corrupt, fmt::format("its heads of {} are no larger than what rope turns", head_dim), ""});
  }
  c.nope_dim = head_dim - std::min(head_dim, c.rope_dim);
  c.scale = 1 / std::sqrt(static_cast<float>(head_dim));
}

/// yarn_log_multiplier is a tenth of mscale_all_dim, by which scores are widened. mscale is in no file: llama.cpp takes
/// it for the same number, so that q's and k's own magnitudes are 1.
void widen_scores(GgufFields& f, RopeSpec& rope, LatentAttentionConfig& c) {
  const double all = 10.0 * f.f32("rope.scaling.yarn_log_multiplier", 0.0F);
  if (all == 0 || f.string("rope.scaling.type", "none") == "none" || f.error()) return;
  if (f.string("rope.scaling.type", "") != "yarn") {
    return f.fail({ErrorCode::unsupported, "rope.scaling.yarn_log_multiplier without yarn is not supported", ""});
  }
  const double factor = f.f32("rope.scaling.factor", 1.0F);
  rope.magnitude /= yarn_magnitude(factor);
  c.scale *= static_cast<float>(std::pow(yarn_magnitude(factor, all), 2));
}

void name_attention(const Gguf& gguf, const LatentAttentionConfig& c, TensorNames& n) {
  const std::string layer = "blk.{}.";
  n.k = n.v = "";
  if (c.q_rank > 0) {
    n.q = layer + "attn_q_b.weight";
    n.q_a = layer + "attn_q_a.weight";
    n.q_a_norm = layer + "attn_q_a_norm.weight";
  }
  n.kv_a = layer + "attn_kv_a_mqa.weight";
  n.kv_a_norm = layer + "attn_kv_a_norm.weight";
  if (has_parted_heads(gguf)) {
    n.k_b = layer + "attn_k_b.weight";
    n.v_b = layer + "attn_v_b.weight";
  } else {
    n.kv_b = layer + "attn_kv_b.weight";
  }
}

void set_latent_attention(GgufFields& f, DecoderDescription& d) {
  LatentAttentionConfig attention;
  d.config.for_each_attention([&](const AttentionConfig& cached) {
    if (attention.heads == 0) set_sizes(f, attention, cached);
  });
  if (f.error() || d.config.ropes.empty()) return;
  widen_scores(f, d.config.ropes.front(), attention);
  for (LayerConfig& layer : d.config.layers) layer.mixer = attention;
  name_attention(f.gguf(), attention, d.names);
}

/// V2's experts are chosen by softmax, and groups by their best expert; the others' by sigmoids with a correction.
/// Files that do not say which have the correction or not.
void set_router(GgufFields& f, ExpertsConfig& experts, DecoderDescription& d, uint32_t dense_layers) {
  constexpr uint32_t kSoftmax = 1, kSigmoid = 2;
  const std::string correction = "blk.{}.exp_probs_b.bias";
  const bool is_corrected = f.gguf().contains(in_layer(correction, dense_layers));
  const uint32_t gating = f.u32("expert_gating_func", is_corrected ? kSigmoid : kSoftmax);
  if (gating != kSoftmax && gating != kSigmoid) {
    f.fail({ErrorCode::unsupported, fmt::format("expert_gating_func {} is not supported", gating), ""});
  }
  experts.router = gating == kSigmoid ? RouterKind::sigmoid : RouterKind::softmax;
  experts.group_raters = gating == kSigmoid ? 2 : 1;
  if (is_corrected) d.names.router_correction = correction;
  if (gating == kSoftmax) d.config.family = "deepseek_v2";
}

void set_mixtures(GgufFields& f, DecoderDescription& d) {
  const uint32_t dense_layers = f.u32("leading_dense_block_count", 0);
  if (f.u32("expert_count", 0) == 0) {
    for (const char* key : {"expert_feed_forward_length", "expert_weights_scale", "expert_weights_norm"}) {
      f.pass_over(key);  // written all the same
    }
    return;
  }
  ExpertsConfig experts = fields::experts_of(f, d.names);
  set_router(f, experts, d, dense_layers);
  experts.shared_width = f.u32("expert_shared_count", 0) * experts.width;
  fields::set_experts(d.config, experts, [&](uint32_t i) { return i >= dense_layers; });
  d.names.shared_gate = "blk.{}.ffn_gate_shexp.weight";
  d.names.shared_up = "blk.{}.ffn_up_shexp.weight";
  d.names.shared_down = "blk.{}.ffn_down_shexp.weight";
}

}  // namespace

Result<DecoderDescription> deepseek_from_gguf(const Gguf& gguf) {
  GgufFields f(gguf);
  DecoderDescription d = fields::common(f, {.family = "deepseek_v3", .interleaved_rope = true, .has_latents = true});
  // Layers that predict further tokens stand behind the others.
  d.extra_layers = f.u32("nextn_predict_layers", 0);
  d.config.layers.resize(d.config.layers.size() - std::min<size_t>(d.config.layers.size(), d.extra_layers));
  set_latent_attention(f, d);
  set_mixtures(f, d);
  return fields::finish(f, std::move(d));
}

}  // namespace hearth
