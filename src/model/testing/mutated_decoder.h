#pragma once

#include <cmath>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "formats/gguf.h"
#include "formats/test_files.h"
#include "model/families/family.h"

// For tests and the fuzzer: configurations as damaged or hostile files have them, from good ones whose values were
// changed. `choose(n)` decides, each time with a number below n: a random one, or a fuzzer's next byte.
namespace hearth::mutated {

/// What a description promises whoever allocates and computes by it; the promise that it breaks, or nothing.
inline std::string broken_promise(const Result<DecoderDescription>& description) {
  if (!description) return description.error().message.empty() ? "an error without a message" : "";
  const DecoderConfig& c = description->config;
  if (c.layers.empty() || c.layers.size() > 4096) return "layers";
  std::string broken;
  c.for_each_attention([&](const AttentionConfig& attention) {
    const uint32_t head_dim = attention.head_dim;
    if (head_dim == 0 || head_dim > kMostHeadDim || head_dim % 2 != 0) broken = "head_dim";
    if (attention.heads == 0 || attention.kv_heads == 0 || attention.heads % attention.kv_heads != 0) broken = "heads";
    if (!(std::isfinite(attention.scale) && attention.scale > 0)) broken = "attention's scale";
    if (!attention.rope) return;
    if (*attention.rope >= c.ropes.size()) {
      broken = "a layer's rope";
    } else if (2 * c.ropes[*attention.rope].inverse_frequencies.size() > head_dim) {
      broken = "a rope's size";
    }
  });
  for (size_t i = 0; i < c.layers.size(); ++i) {
    const auto* attention = std::get_if<AttentionConfig>(&c.layers[i].mixer);
    if (attention != nullptr && attention->reads_layer.value_or(0) >= std::max<size_t>(i, 1)) broken = "a layer read";
  }
  if (c.layer_inputs && c.layer_inputs->all() == 0) broken = "layers' inputs";
  for (const LayerConfig& layer : c.layers) {
    const auto* latent = std::get_if<LatentAttentionConfig>(&layer.mixer);
    if (latent == nullptr) continue;
    for (const uint32_t size : {latent->nope_dim, latent->rope_dim, latent->value_dim, latent->latent_dim}) {
      if (size == 0 || size > kMostHeadDim) broken = "a size of latent attention";
    }
    if (latent->heads == 0) broken = "heads of latent attention";
    if (!(std::isfinite(latent->scale) && latent->scale > 0)) broken = "latent attention's scale";
    if (latent->rope >= c.ropes.size() || 2 * c.ropes[latent->rope].inverse_frequencies.size() > latent->rope_dim) {
      broken = "latent attention's rope";
    }
  }
  if (!broken.empty()) return broken;
  for (const RopeSpec& rope : c.ropes) {
    if (rope.inverse_frequencies.empty()) return "a rope without pairs";
    for (const float frequency : rope.inverse_frequencies) {
      if (!std::isfinite(frequency)) return "a rope's frequency";
    }
  }
  return "";
}

inline const std::vector<nlohmann::json>& values() {
  static const std::vector<nlohmann::json> kValues = {nullptr,
                                                      true,
                                                      false,
                                                      0,
                                                      1,
                                                      2,
                                                      -1,
                                                      3,
                                                      33,
                                                      64,
                                                      4096,
                                                      4098,
                                                      65536,
                                                      2147483648U,
                                                      4294967295U,
                                                      4294967296U,
                                                      UINT64_MAX,
                                                      INT64_MIN,
                                                      0.5,
                                                      -0.5,
                                                      1e-45,
                                                      1e8,
                                                      1e38,
                                                      1e300,
                                                      -1e300,
                                                      "",
                                                      "gelu",
                                                      "linear",
                                                      "yarn",
                                                      "llama3",
                                                      "sliding_attention",
                                                      nlohmann::json::array(),
                                                      nlohmann::json::object(),
                                                      {"full_attention", "sliding_attention"},
                                                      {1, -1},
                                                      {{"rope_type", "yarn"}, {"factor", 2}},
                                                      {{"rope_type", "linear"}},
                                                      {{"full_attention", {{"factor", 1e30}}}},
                                                      {{"1", {{"head_dim", 64}}}}};
  return kValues;
}

/// A config.json of any family with one to four values replaced, there or in its rope.
template <class Choose>
std::string describe_config(Choose&& choose) {
  static const char* const kTypes[] = {"llama",
                                       "mistral",
                                       "qwen2",
                                       "qwen3",
                                       "gemma2",
                                       "gemma3_text",
                                       "gemma4_text",
                                       "ministral3",
                                       "phi3",
                                       "olmo2",
                                       "olmo3",
                                       "granite",
                                       "cohere2",
                                       "seed_oss",
                                       "smollm3",
                                       "glm4",
                                       "exaone4",
                                       "ernie4_5",
                                       "arcee",
                                       "hunyuan_v1_dense",
                                       "apertus",
                                       "starcoder2",
                                       "stablelm",
                                       "qwen3_moe",
                                       "mixtral",
                                       "glm4_moe",
                                       "minimax_m2",
                                       "gpt_oss",
                                       "llama4_text",
                                       "lfm2",
                                       "qwen3_next",
                                       "qwen3_5_text",
                                       "qwen3_5_moe_text",
                                       "granitemoehybrid",
                                       "nemotron_h",
                                       "deepseek_v2",
                                       "deepseek_v3",
                                       "kimi_k2",
                                       "glm4_moe_lite"};
  static const std::vector<std::string> kKeys = {"hidden_size",
                                                 "intermediate_size",
                                                 "num_attention_heads",
                                                 "num_key_value_heads",
                                                 "head_dim",
                                                 "vocab_size",
                                                 "num_hidden_layers",
                                                 "max_position_embeddings",
                                                 "rms_norm_eps",
                                                 "hidden_act",
                                                 "hidden_activation",
                                                 "layer_types",
                                                 "sliding_window",
                                                 "sliding_window_pattern",
                                                 "use_sliding_window",
                                                 "max_window_layers",
                                                 "query_pre_attn_scalar",
                                                 "attn_logit_softcapping",
                                                 "final_logit_softcapping",
                                                 "partial_rotary_factor",
                                                 "rope_theta",
                                                 "rope_scaling",
                                                 "rope_parameters",
                                                 "rope_local_base_freq",
                                                 "attention_bias",
                                                 "mlp_bias",
                                                 "use_bias",
                                                 "conv_L_cache",
                                                 "linear_num_value_heads",
                                                 "linear_num_key_heads",
                                                 "linear_key_head_dim",
                                                 "linear_value_head_dim",
                                                 "linear_conv_kernel_dim",
                                                 "full_attention_interval",
                                                 "attn_output_gate",
                                                 "mamba_n_heads",
                                                 "mamba_d_head",
                                                 "mamba_d_state",
                                                 "mamba_n_groups",
                                                 "mamba_d_conv",
                                                 "mamba_num_heads",
                                                 "mamba_head_dim",
                                                 "ssm_state_size",
                                                 "n_groups",
                                                 "conv_kernel",
                                                 "hybrid_override_pattern",
                                                 "time_step_limit",
                                                 "time_step_min",
                                                 "shared_intermediate_size",
                                                 "shared_expert_intermediate_size",
                                                 "block_ffn_dim_multiplier",
                                                 "block_multiple_of",
                                                 "full_attn_idxs",
                                                 "per_layer_config",
                                                 "global_head_dim",
                                                 "num_global_key_value_heads",
                                                 "num_kv_shared_layers",
                                                 "attention_k_eq_v",
                                                 "hidden_size_per_layer_input",
                                                 "use_double_wide_mlp",
                                                 "enable_moe_block",
                                                 "top_k_experts",
                                                 "num_experts",
                                                 "num_local_experts",
                                                 "n_routed_experts",
                                                 "num_experts_per_tok",
                                                 "moe_intermediate_size",
                                                 "n_shared_experts",
                                                 "n_group",
                                                 "topk_group",
                                                 "first_k_dense_replace",
                                                 "topk_method",
                                                 "scoring_func",
                                                 "norm_topk_prob",
                                                 "kv_lora_rank",
                                                 "q_lora_rank",
                                                 "qk_nope_head_dim",
                                                 "qk_rope_head_dim",
                                                 "v_head_dim",
                                                 "mlp_only_layers",
                                                 "decoder_sparse_step",
                                                 "routed_scaling_factor",
                                                 "num_nextn_predict_layers",
                                                 "rotary_dim",
                                                 "original_max_position_embeddings",
                                                 "attention_multiplier",
                                                 "residual_multiplier",
                                                 "logits_scaling",
                                                 "logit_scale",
                                                 "layer_norm_eps",
                                                 "no_rope_layers",
                                                 "no_rope_layer_interval",
                                                 "use_parallel_residual",
                                                 "tie_word_embeddings",
                                                 "eos_token_id"};
  static const std::vector<std::string> kRopeKeys = {"rope_type",
                                                     "type",
                                                     "rope_theta",
                                                     "partial_rotary_factor",
                                                     "factor",
                                                     "original_max_position_embeddings",
                                                     "attention_factor",
                                                     "beta_fast",
                                                     "beta_slow",
                                                     "low_freq_factor",
                                                     "high_freq_factor",
                                                     "mscale",
                                                     "mscale_all_dim",
                                                     "truncate",
                                                     "short_factor",
                                                     "long_factor",
                                                     "alpha",
                                                     "llama_4_scaling_beta",
                                                     "full_attention"};
  nlohmann::json config = {{"model_type", kTypes[choose(std::size(kTypes))]},
                           {"hidden_size", 64},
                           {"intermediate_size", 160},
                           {"num_attention_heads", 4},
                           {"num_key_value_heads", 2},
                           {"head_dim", 32},
                           {"vocab_size", 384},
                           {"vocab_size_per_layer_input", 384},
                           {"num_hidden_layers", 2},
                           {"max_position_embeddings", 256}};
  if (config["model_type"] == "gemma4_text") {
    config.update({{"num_experts", 4}, {"top_k_experts", 2}, {"moe_intermediate_size", 32}});
  }
  for (size_t edits = 1 + choose(4); edits > 0; --edits) {
    const nlohmann::json& value = values()[choose(values().size())];
    if (choose(3) > 0) {
      config[kKeys[choose(kKeys.size())]] = value;
      continue;
    }
    nlohmann::json& rope = config[choose(2) == 0 ? "rope_parameters" : "rope_scaling"];
    if (!rope.is_object()) rope = {{"rope_type", choose(2) == 0 ? "yarn" : "llama3"}, {"factor", 4.0}};
    rope[kRopeKeys[choose(kRopeKeys.size())]] = value;
  }
  const std::string broken = broken_promise(hearth::describe_config(config, "config"));
  return broken.empty() ? "" : broken + " of " + config.dump();
}

/// The metadata of a GGUF of any architecture with one to four values of any type replaced.
template <class Choose>
std::string describe_gguf(Choose&& choose) {
  static const char* const kArchitectures[] = {
      "llama",      "qwen2",          "qwen3",     "gemma2",    "gemma3",     "gemma4",    "mistral3",
      "phi3",       "olmo2",          "granite",   "cohere2",   "seed_oss",   "smollm3",   "glm4",
      "exaone4",    "hunyuan-dense",  "ernie4_5",  "arcee",     "starcoder2", "stablelm",  "qwen3moe",
      "glm4moe",    "minimax-m2",     "lfm2",      "qwen3next", "qwen35",     "qwen35moe", "granitehybrid",
      "nemotron_h", "nemotron_h_moe", "deepseek2", "gpt-oss",   "llama4"};
  static const std::vector<std::pair<const char*, uint32_t>> kCounts = {{"embedding_length", 64},
                                                                        {"feed_forward_length", 160},
                                                                        {"attention.head_count", 4},
                                                                        {"attention.head_count_kv", 2},
                                                                        {"attention.key_length", 16},
                                                                        {"attention.value_length", 16},
                                                                        {"context_length", 256},
                                                                        {"block_count", 2},
                                                                        {"rope.dimension_count", 16},
                                                                        {"attention.layer_norm_rms_epsilon", 0},
                                                                        {"rope.freq_base", 10000},
                                                                        {"rope.freq_base_swa", 10000},
                                                                        {"rope.scaling.factor", 1},
                                                                        {"rope.scale_linear", 1},
                                                                        {"rope.scaling.original_context_length", 256},
                                                                        {"rope.scaling.attn_factor", 1},
                                                                        {"rope.scaling.yarn_beta_fast", 32},
                                                                        {"rope.scaling.yarn_log_multiplier", 0},
                                                                        {"attention.key_length_mla", 24},
                                                                        {"attention.value_length_mla", 16},
                                                                        {"attention.kv_lora_rank", 32},
                                                                        {"attention.q_lora_rank", 16},
                                                                        {"expert_gating_func", 2},
                                                                        {"attention.sliding_window", 16},
                                                                        {"attention.sliding_window_pattern", 6},
                                                                        {"attention.key_length_swa", 16},
                                                                        {"attention.shared_kv_layers", 1},
                                                                        {"embedding_length_per_layer_input", 32},
                                                                        {"rope.dimension_count_swa", 16},
                                                                        {"shortconv.l_cache", 3},
                                                                        {"ssm.time_step_rank", 4},
                                                                        {"ssm.group_count", 2},
                                                                        {"ssm.state_size", 16},
                                                                        {"ssm.inner_size", 96},
                                                                        {"ssm.conv_kernel", 4},
                                                                        {"full_attention_interval", 4},
                                                                        {"expert_count", 4},
                                                                        {"expert_used_count", 2},
                                                                        {"expert_group_count", 1},
                                                                        {"leading_dense_block_count", 1},
                                                                        {"nextn_predict_layers", 1},
                                                                        {"final_logit_softcapping", 30}};
  static const uint64_t kNumbers[] = {0, 1, 2, 3, 33, 4096, 4098, 1U << 31, 0xffffffff, 1ULL << 32, ~0ULL};
  static const double kReals[] = {0, -1, 0.5, 1e-45, 1e8, 1e38, 1e300, NAN, INFINITY};
  static const char* const kWords[] = {"", "none", "linear", "yarn", "longrope"};
  const std::string prefix = kArchitectures[choose(std::size(kArchitectures))] + std::string(".");
  test_files::GgufBuilder gguf;
  gguf.key("general.architecture", prefix.substr(0, prefix.size() - 1).c_str());
  std::vector<size_t> changed(1 + choose(4));
  for (size_t& index : changed) index = choose(kCounts.size());
  for (size_t i = 0; i < kCounts.size(); ++i) {
    const std::string key = prefix + kCounts[i].first;
    const bool has_latents = prefix.contains("deepseek");
    const bool of_latents = key.contains("_mla") || key.contains("lora") || key.contains("yarn_log");
    if (of_latents && !has_latents) continue;
    const bool of_mixtures = key.contains("expert") || key.contains("dense_block") || key.contains("nextn");
    const bool has_mixtures = prefix.contains("next") || prefix.contains("moe") || prefix.contains("minimax") ||
                              prefix.contains("gpt-oss") || prefix.contains("llama4");
    const bool of_gemma4 = key.contains("_swa") || key.contains("shared_kv") || key.contains("per_layer");
    const bool gemma4_experts = prefix.contains("gemma4") && key.contains("expert");
    if (of_mixtures && !has_mixtures && !has_latents && !gemma4_experts) continue;
    if (of_gemma4 && !key.contains("rope.freq") && !prefix.contains("gemma4")) continue;
    if (key.contains("shortconv") && !prefix.contains("lfm2")) continue;
    const bool of_states = key.contains("ssm.") || key.contains("full_attention_interval");
    const bool has_states = prefix.contains("qwen35") || prefix.contains("next") || prefix.contains("hybrid");
    if (of_states && !has_states && !prefix.contains("nemotron")) continue;
    const bool real =
        key.contains("rope.freq") || key.contains("factor") || key.contains("epsilon") || key.contains("multiplier");
    if (std::ranges::find(changed, i) == changed.end()) {
      uint32_t count = kCounts[i].second;
      if (has_latents && key.ends_with("head_count_kv")) count = 1;
      if (has_latents && key.ends_with("key_length")) count = 48;
      if (has_latents && key.ends_with("value_length")) count = 32;
      real ? gguf.key(key, static_cast<float>(count)) : gguf.key(key, count);
    } else if (const size_t kind = choose(6); kind == 0) {
      gguf.key(key, kNumbers[choose(std::size(kNumbers))]);
    } else if (kind == 1) {
      gguf.key(key, kReals[choose(std::size(kReals))]);
    } else if (kind == 2) {
      gguf.key(key, static_cast<int32_t>(-static_cast<int>(choose(3))));
    } else if (kind == 3) {
      gguf.array<bool>(key, {true, false});
    } else if (kind == 4) {
      gguf.array<int32_t>(key, {2, 2, -1});
    }  // else it is missing
  }
  if (choose(2) == 0) gguf.key(prefix + "rope.scaling.type", kWords[choose(std::size(kWords))]);
  gguf.tensor("token_embd.weight", 1, {2, 2}, std::string(8, '\0'));
  if (choose(4) == 0) gguf.tensor("rope_freqs.weight", 0, {8}, std::string(32, '\x3f'));
  const test_files::MemoryFile file(gguf.build());
  const auto opened = Gguf::open(file.path());
  return opened ? broken_promise(describe_decoder(**opened)) : "";
}

}  // namespace hearth::mutated
