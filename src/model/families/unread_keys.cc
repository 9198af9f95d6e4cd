#include "model/families/unread_keys.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/printable.h"

namespace hearth::fields {
namespace {

/// Keys that change the result in some decoder of transformers, with the value that changes nothing besides null,
/// false, 0 and nothing at all: 1 for a factor, and for the number of experts where there is nothing to choose.
struct Key {
  std::string_view name;
  bool is_factor = false;
};
constexpr std::array kMatter = {
    // projections and norms
    Key{"attention_bias"}, Key{"mlp_bias"}, Key{"use_bias"}, Key{"use_qkv_bias"}, Key{"qkv_bias"}, Key{"bias"},
    Key{"add_bias_linear"}, Key{"attention_out_bias"}, Key{"lm_head_bias"}, Key{"qk_norm"}, Key{"use_qk_norm"},
    Key{"qk_layernorm"}, Key{"clip_qkv"}, Key{"hidden_act"}, Key{"hidden_activation"}, Key{"hidden_activation_fn"},
    // attention
    Key{"use_bidirectional_attention"}, Key{"sliding_window"}, Key{"use_sliding_window"}, Key{"layer_types"},
    Key{"attn_logit_softcapping"}, Key{"final_logit_softcapping"}, Key{"query_pre_attn_scalar"},
    Key{"attention_chunk_size"}, Key{"attn_output_gate"}, Key{"attn_temperature_tuning"}, Key{"alibi"},
    Key{"v_head_dim"}, Key{"qk_rope_head_dim"}, Key{"kv_lora_rank"}, Key{"q_lora_rank"}, Key{"num_kv_shared_layers"},
    // ropes
    Key{"partial_rotary_factor", true}, Key{"rotary_pct", true}, Key{"rotary_dim"}, Key{"rope_theta"},
    Key{"rope_scaling"}, Key{"rope_parameters"}, Key{"rope_local_base_freq"}, Key{"sliding_window_pattern"},
    Key{"rope_interleave"}, Key{"rope_interleaved"}, Key{"no_rope_layers"}, Key{"no_rope_layer_interval"},
    Key{"mrope_section"}, Key{"use_mrope"},
    // factors on the residual, the embedding and the logits
    Key{"embedding_multiplier", true}, Key{"residual_multiplier", true}, Key{"attention_multiplier", true},
    Key{"logits_scaling", true}, Key{"logit_scale", true}, Key{"scale_emb", true}, Key{"scale_depth"},
    Key{"dim_model_base"}, Key{"embedding_scale", true}, Key{"mup_width_multiplier", true},
    // other shapes of a decoder
    Key{"num_experts", true}, Key{"num_local_experts"}, Key{"n_routed_experts"}, Key{"moe_intermediate_size"},
    Key{"parallel_attn"}, Key{"use_parallel_residual"}, Key{"per_layer_config"}, Key{"is_encoder_decoder"},
    Key{"add_cross_attention"}, Key{"num_attention_heads_per_layer"}, Key{"swiglu_limit"}};

/// Keys without a part in what a decoder computes from tokens.
constexpr std::array<std::string_view, 42> kHarmless = {
    "architectures", "model_type", "transformers_version", "torch_dtype", "dtype", "use_cache", "initializer_range",
    "attention_dropout", "hidden_dropout", "resid_pdrop", "embd_pdrop", "attn_pdrop", "pretraining_tp", "pad_token_id",
    "bos_token_id", "eos_token_id", "unk_token_id", "sep_token_id", "_name_or_path", "name_or_path", "auto_map",
    "id2label", "label2id", "num_labels", "problem_type", "output_attentions", "output_hidden_states", "return_dict",
    "max_window_layers", "_sliding_window_pattern", "cache_implementation", "_attn_implementation", "is_decoder",
    // what training adds to a mixture's loss
    "output_router_logits", "router_aux_loss_coef", "router_z_loss_coef", "router_jitter_noise", "aux_loss_alpha",
    "seq_aux", "ep_size",
    // how the tensors are coded, which whoever opens them has read (formats/codings)
    "quantization_config", "compression_config"};

bool changes_nothing(const Key& key, const nlohmann::json& value) {
  if (value.is_null() || value == false || value == 0 || (value.is_structured() && value.empty())) return true;
  if (key.is_factor && value == 1) return true;
  // Layers that see everything, or that all have a rope.
  const bool lists_all = key.name == "layer_types" || key.name == "no_rope_layers";
  return lists_all && value.is_array() &&
         std::ranges::all_of(value, [](const auto& entry) { return entry == "full_attention" || entry == 1; });
}

}  // namespace

std::optional<std::string> key_beside_text_config(const nlohmann::json& whole, const nlohmann::json& text) {
  for (const auto& [name, value] : whole.items()) {
    const auto* key = std::ranges::find(kMatter, name, &Key::name);
    if (key == kMatter.end() || changes_nothing(*key, value) || text.value(name, nlohmann::json()) == value) continue;
    return name;
  }
  return {};
}

std::vector<std::string> refuse_unread_keys(HuggingFaceFields& fields) {
  std::vector<std::string> unknown;
  for (const auto& [name, value] : fields.json().items()) {
    if (fields.was_read(name)) continue;
    if (const auto* key = std::ranges::find(kMatter, name, &Key::name); key != kMatter.end()) {
      if (!changes_nothing(*key, value)) {
        fields.fail(fmt::format("{} is {}, which is not supported for this family", name, value.dump().substr(0, 60)),
                    ErrorCode::unsupported);
      }
    } else if (std::ranges::find(kHarmless, name) == kHarmless.end()) {
      unknown.push_back(printable(name));
    }
  }
  return unknown;
}

}  // namespace hearth::fields
