#include <array>

#include "model/families/every_layer.h"
#include "model/families/expert_fields.h"

// MiniMax M2: experts by sigmoids with a correction for the choice, norms of all heads together, a part of a head
// turned.
namespace hearth {
namespace {

constexpr std::array<std::string_view, 1> kModelTypes = {"minimax_m2"};
constexpr std::array<std::string_view, 1> kArchitectures = {"minimax-m2"};

Result<DecoderDescription> from_hugging_face(const nlohmann::json& config) {
  fields::HuggingFaceFields f(config);
  // The published files say rotary_dim, which counts unless the rope's parameters have a partial_rotary_factor.
  const float head_dim = std::max(static_cast<float>(f.u32("head_dim", 128)), 1.0F);
  const float partial = f.has("rotary_dim") ? static_cast<float>(f.u32("rotary_dim")) / head_dim : 1.0F;
  DecoderDescription d = fields::common(f, {.family = "minimax_m2",
                                            .sizes = {3072, 1536, 62, 48, 200064},
                                            .rope_theta = 5e6,
                                            .partial_rotary = partial,
                                            .context_length = 196608,
                                            .kv_heads = 8,
                                            .head_dim = 128});
  fields::make_experts_of_dense(d.config, {.experts = f.u32("num_local_experts", 256),
                                           .chosen = f.u32("num_experts_per_tok", 8),
                                           .router = RouterKind::sigmoid,
                                           .normalise = true});
  fields::norm_all_heads(d.config);
  fields::add_head_norms(f, d.names);
  fields::name_experts_by_number(d.names);
  d.names.router_correction = "model.layers.{}.block_sparse_moe.e_score_correction_bias";
  return fields::finish(f, std::move(d));
}

Result<DecoderDescription> from_gguf(const Gguf& gguf) {
  fields::GgufFields f(gguf);
  DecoderDescription d = fields::common(f, {.family = "minimax_m2"});
  ExpertsConfig experts = fields::experts_of(f, d.names);
  experts.router = RouterKind::sigmoid;
  experts.normalise = true;
  fields::expect_sigmoids(f);
  fields::set_experts(d.config, experts, [](uint32_t) { return true; });
  fields::norm_all_heads(d.config);
  fields::add_head_norms(gguf, d.names);
  d.names.router_correction = "blk.{}.exp_probs_b.bias";
  return fields::finish(f, std::move(d));
}

}  // namespace

const Family kMiniMaxM2 = {"minimax_m2", kModelTypes, kArchitectures, from_hugging_face, from_gguf};

}  // namespace hearth
