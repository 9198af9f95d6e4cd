// What config.json's keys mean to each family: honoured or refused by name, with the defaults of transformers 5.17.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "model/families/family.h"
#include "model/rope.h"
#include "model/testing/edited_checkpoint.h"

namespace hearth {
namespace {

using testing::HasSubstr;
using Json = nlohmann::json;

const char* const kFamilies[] = {"llama", "mistral", "qwen2", "qwen3", "gemma2", "gemma3_text"};

Result<DecoderDescription> describe(const std::string& family, const std::function<void(Json&)>& edit) {
  const EditedCheckpoint edited(family, edit);
  return describe_decoder(*open_checkpoint(edited.path()).value());
}

/// Of the first layer.
AttentionConfig attention_of(const DecoderConfig& config) {
  return std::get<AttentionConfig>(config.layers.at(0).mixer);
}

Activation activation_of(const DecoderConfig& config) {
  return std::get<DenseConfig>(config.layers.at(0).feed_forward).activation;
}

Result<DecoderDescription> describe_with(const std::string& family, const char* key, const Json& value) {
  return describe(family, [&](Json& config) { config[key] = value; });
}

DecoderConfig without(const std::string& family, std::initializer_list<const char*> keys) {
  const auto description = describe(family, [&](Json& config) {
    for (const char* key : keys) config.erase(key);
  });
  EXPECT_TRUE(description) << to_string(description.error());
  return description ? description->config : DecoderConfig{};
}

TEST(Families, TheActivationIsTheOneThatIsNamed) {
  for (const std::string family : kFamilies) {
    const char* key = family.starts_with("gemma") ? "hidden_activation" : "hidden_act";
    const std::pair<const char*, Activation> named[] = {
        {"silu", Activation::silu},
        {"swish", Activation::silu},
        {"gelu", Activation::gelu},
        {"gelu_new", Activation::gelu_tanh},
        {"relu", Activation::relu},
        {"gelu_pytorch_tanh", Activation::gelu_tanh},
        {"quick_gelu", Activation::quick_gelu},
        {"relu2", Activation::relu_squared},
    };
    for (const auto& [name, activation] : named) {
      const auto description = describe_with(family, key, name);
      ASSERT_TRUE(description) << to_string(description.error());
      EXPECT_EQ(activation_of(description->config), activation) << family << " " << name;
    }
    for (const char* name : {"mish", "xielu", "", "SILU"}) {
      const auto description = describe_with(family, key, name);
      ASSERT_FALSE(description) << family << " " << name;
      EXPECT_EQ(description.error().code, ErrorCode::unsupported);
      EXPECT_THAT(description.error().message, HasSubstr(std::string(key) + " '" + name + "'"));
    }
    EXPECT_FALSE(describe_with(family, key, 3));
    const Activation usual = family.starts_with("gemma") ? Activation::gelu_tanh : Activation::silu;
    EXPECT_EQ(activation_of(without(family, {key})), usual) << family;
  }
  EXPECT_FALSE(describe_with("gemma2", "hidden_act", "gelu")) << "it is not the other key's";
  EXPECT_TRUE(describe_with("gemma2", "hidden_act", "gelu_pytorch_tanh"));
}

TEST(Families, AValueThatIsNotHonouredIsRefusedByName) {
  struct Case {
    const char* family;
    const char* key;
    Json value;
  };
  const Case cases[] = {
      {"mistral", "attention_bias", true},
      {"qwen2", "mlp_bias", true},
      {"llama", "sliding_window", 64},
      {"llama", "layer_types", {"full_attention", "sliding_attention", "full_attention"}},
      {"llama", "attn_logit_softcapping", 30.0},
      {"llama", "query_pre_attn_scalar", 100},
      {"llama", "num_local_experts", 8},
      {"llama", "residual_multiplier", 0.22},
      {"llama", "logits_scaling", 8.0},
      {"llama", "no_rope_layers", {1, 1, 0, 1}},
      {"llama", "compression_config", {{"format", "int4"}}},
      {"qwen3", "layer_types", {"sliding_attention", "full_attention", "full_attention", "full_attention"}},
      {"gemma2", "use_bidirectional_attention", true},
      {"gemma3_text", "use_bidirectional_attention", true},
      {"gemma3_text", "layer_types", {"chunked_attention"}},
      {"gemma3_text", "num_kv_shared_layers", 10},
      {"gemma4_text", "use_bidirectional_attention", "all"},
      {"gemma4_text", "vocab_size_per_layer_input", 300},
      {"gemma4_text", "num_kv_shared_layers", 12},
      {"gemma4_text", "per_layer_config", {{"3", {{"head_dim", 64}, {"intermediate_size", 32}}}}},
      {"gemma4_text", "per_layer_config", {{"12", {{"head_dim", 64}}}}},
      {"gemma4_moe_soft",
       "rope_parameters",
       {{"full_attention", {{"rope_type", "proportional"}, {"rope_theta", 1e6}}}}},
      {"deepseek_v3", "num_key_value_heads", 2},
      {"deepseek_v3", "topk_method", "group_limited_greedy"},
      {"deepseek_v3", "scoring_func", "softmax"},
      {"deepseek_v3", "moe_layer_freq", 2},
      {"deepseek_v2", "topk_method", "noaux_tc"},
      {"deepseek_v2", "scoring_func", "sigmoid"},
      {"deepseek_v2", "norm_topk_prob", true},
      {"glm4_moe_lite", "mlp_layer_types", {"dense", "sparse"}},
      {"glm4_moe_lite", "mlp_layer_types", {"dense", "sparse", "sparse", "linear"}},
      {"hunyuan_v1_dense", "use_qk_norm", false},
      {"apertus", "qk_norm", false},
      {"minimax_m2", "use_qk_norm", false},
      {"nemotron_h_moe", "moe_latent_size", 32},
      {"gemma2", "sliding_window", nullptr}};
  for (const Case& c : cases) {
    const auto description = describe_with(c.family, c.key, c.value);
    ASSERT_FALSE(description) << c.family << " " << c.key;
    const bool about_windows = std::string_view(c.family) == "gemma2" && std::string_view(c.key) == "sliding_window";
    EXPECT_THAT(description.error().message, HasSubstr(about_windows ? "layer_types" : c.key));
  }
  const Case neutral[] = {{"llama", "sliding_window", nullptr},
                          {"llama", "num_local_experts", 0},
                          {"llama", "residual_multiplier", 1.0},
                          {"llama", "no_rope_layers", {1, 1, 1, 1}},
                          {"llama", "layer_types", Json::array()},
                          {"mistral", "attention_bias", false},
                          {"qwen2", "sliding_window", 131072},
                          {"qwen2", "max_window_layers", 21},
                          {"llama", "a_key_of_next_year", "maybe"},
                          {"gemma2", "use_bidirectional_attention", nullptr},
                          // As published files say what their families always have.
                          {"hunyuan_v1_dense", "use_qk_norm", true},
                          {"hunyuan_v1_dense", "num_experts", 1},
                          {"apertus", "qk_norm", true},
                          {"qwen3_moe", "use_qk_norm", true},
                          {"minimax_m2", "use_qk_norm", true}};
  for (const Case& c : neutral) {
    const auto description = describe_with(c.family, c.key, c.value);
    EXPECT_TRUE(description) << c.key << ": " << to_string(description.error());
  }
}

// configuration_*.py of transformers 5.17.0, for keys that a file does not have.
TEST(Families, DefaultsAreThoseOfTransformers5) {
  for (const std::string family : {"llama", "mistral", "qwen2", "qwen3", "gemma2"}) {
    const DecoderConfig c = without(family, {"rope_parameters", "rope_theta", "rope_scaling"});
    ASSERT_EQ(c.ropes.size(), 1U);
    EXPECT_EQ(c.ropes[0].inverse_frequencies, rope_inverse_frequencies(1e4, attention_of(c).head_dim)) << family;
  }
  const DecoderConfig gemma3 = without("gemma3_text", {"rope_parameters"});
  EXPECT_EQ(gemma3.ropes.at(0).inverse_frequencies, rope_inverse_frequencies(1e6, attention_of(gemma3).head_dim));
  EXPECT_EQ(gemma3.ropes.at(1).inverse_frequencies, rope_inverse_frequencies(1e4, attention_of(gemma3).head_dim));

  const std::pair<const char*, uint32_t> contexts[] = {{"llama", 2048},  {"mistral", 131072}, {"qwen2", 32768},
                                                       {"qwen3", 32768}, {"gemma2", 8192},    {"gemma3_text", 131072}};
  for (const auto& [family, length] : contexts) {
    EXPECT_EQ(without(family, {"max_position_embeddings"}).context_length, length) << family;
  }
  const DecoderConfig qwen3 = without("qwen3", {"head_dim"});
  EXPECT_EQ(attention_of(qwen3).head_dim, 128U);
  EXPECT_EQ(qwen3.ropes[0].inverse_frequencies.size(), 64U)
      << "the rope is the head's, not that of hidden size / heads";
  EXPECT_EQ(attention_of(without("gemma2", {"head_dim"})).head_dim, 256U);
  EXPECT_EQ(attention_of(without("llama", {"num_key_value_heads"})).kv_heads, 4U);
  EXPECT_EQ(attention_of(without("gemma2", {"num_key_value_heads"})).kv_heads, 4U);
  EXPECT_EQ(attention_of(describe_with("mistral", "num_key_value_heads", nullptr)->config).kv_heads, 4U);
  EXPECT_FALSE(describe("mistral", [](Json& config) { config.erase("num_key_value_heads"); })) << "8 for 4 heads";
  EXPECT_EQ(attention_of(without("mistral", {"sliding_window"})).window, 4096U);
  EXPECT_EQ(attention_of(describe_with("mistral", "sliding_window", nullptr)->config).window, 0U);
  EXPECT_EQ(attention_of(without("gemma2", {"attn_logit_softcapping"})).softcap, 50.0F);
  EXPECT_EQ(without("gemma2", {"final_logit_softcapping"}).logit_softcap, 30.0F);
  EXPECT_EQ(attention_of(describe_with("gemma2", "attn_logit_softcapping", nullptr)->config).softcap, 0.0F);
  EXPECT_EQ(attention_of(without("gemma3_text", {"attn_logit_softcapping"})).softcap, 0.0F);
  const DecoderConfig starcoder2 = without(
      "starcoder2", {"hidden_act", "max_position_embeddings", "num_key_value_heads", "norm_epsilon", "sliding_window"});
  EXPECT_EQ(activation_of(starcoder2), Activation::gelu_tanh);
  EXPECT_EQ(starcoder2.context_length, 4096U);
  EXPECT_EQ(attention_of(starcoder2).kv_heads, 2U);
  EXPECT_EQ(starcoder2.norm_epsilon, 1e-5F);
  EXPECT_EQ(attention_of(starcoder2).window, 0U);
  EXPECT_TRUE(without("starcoder2", {"tie_word_embeddings"}).tied_embeddings);
  EXPECT_TRUE(without("gemma2", {"tie_word_embeddings"}).tied_embeddings);
  EXPECT_FALSE(without("qwen3", {"tie_word_embeddings"}).tied_embeddings);
}

TEST(Families, StarCoder2HasAWindowAndBiasesWhereTheFileSays) {
  const auto windowed = describe_with("starcoder2", "sliding_window", 16);
  ASSERT_TRUE(windowed) << to_string(windowed.error());
  windowed->config.for_each_attention([](const AttentionConfig& attention) { EXPECT_EQ(attention.window, 16U); });
  const auto usual = describe("starcoder2", [](Json& config) { config.erase("use_bias"); });
  ASSERT_TRUE(usual) << to_string(usual.error());
  EXPECT_EQ(usual->names.down_bias, "model.layers.{}.mlp.c_proj.bias");
  const auto unbiased = describe_with("starcoder2", "use_bias", false);
  ASSERT_TRUE(unbiased) << to_string(unbiased.error());
  for (const auto member : {&TensorNames::q_bias, &TensorNames::output_bias, &TensorNames::up_bias}) {
    EXPECT_EQ(unbiased->names.*member, "");
  }
  EXPECT_EQ(unbiased->names.output_norm_bias, "model.norm.bias") << "norms always have theirs";
}

TEST(Families, NumbersOfRopesAndHeadsAreCheckedBeforeAnythingIsAllocated) {
  for (const std::string family : kFamilies) {
    for (const Json& partial :
         {Json(-1), Json(-0.5), Json(0), Json(1e8), Json(1.5), Json(0.01), Json(1e300), Json("half")}) {
      const auto description = describe_with(family, "partial_rotary_factor", partial);
      ASSERT_FALSE(description) << family << " " << partial;
      EXPECT_THAT(description.error().message, HasSubstr("partial_rotary_factor"));
    }
    for (const Json& head_dim : {Json(2147483648U), Json(4294967295U), Json(4098), Json(0), Json(33)}) {
      EXPECT_FALSE(describe_with(family, "head_dim", head_dim)) << family << " " << head_dim;
    }
    const auto half = describe_with(family, "partial_rotary_factor", 0.5);
    ASSERT_TRUE(half) << to_string(half.error());
    EXPECT_EQ(half->config.ropes.back().inverse_frequencies.size(), attention_of(half->config).head_dim / 4);
  }
}

// configuration_minimax_m2.py of transformers 5.24.
TEST(Families, MiniMaxsRotaryDimCountsUnlessTheRopesParametersSayItsShare) {
  const auto pairs = [](const Json& rope) {
    const auto description = describe("minimax_m2", [&](Json& config) {
      config["rotary_dim"] = 16;  // of heads of 32
      config["rope_parameters"] = rope;
    });
    EXPECT_TRUE(description) << to_string(description.error());
    return description ? description->config.ropes.at(0).inverse_frequencies.size() : 0;
  };
  EXPECT_EQ(pairs(nullptr), 8U);
  EXPECT_EQ(pairs({{"rope_type", "default"}, {"rope_theta", 5e6}}), 8U);
  EXPECT_EQ(pairs({{"rope_type", "default"}, {"partial_rotary_factor", 1.0}}), 16U);
}

TEST(Families, KeysOfALongRopeThatNobodyReadsAreRefused) {
  for (const char* key : {"short_mscale", "long_mscale", "something_new"}) {
    const auto description = describe("phi3_longrope", [&](Json& config) {
      const char* where = config.contains("rope_parameters") ? "rope_parameters" : "rope_scaling";
      config[where][key] = 1.2;
    });
    ASSERT_FALSE(description) << key;
    EXPECT_THAT(description.error().message, HasSubstr(key));
  }
}

TEST(Families, WhatTrainingAddsToAMixturesLossIsNotNamedAsUnknown) {
  const auto description = describe("mixtral", [](Json& config) {
    config["output_router_logits"] = true;
    config["router_aux_loss_coef"] = 0.02;
  });
  ASSERT_TRUE(description) << to_string(description.error());
  EXPECT_TRUE(description->unknown_keys.empty());
}

TEST(Families, RopeParametersAreHonouredOrRefused) {
  const auto with = [](const Json& rope) { return describe_with("llama", "rope_parameters", rope); };
  const std::pair<const char*, Json> refused[] = {
      {"factor is -2", {{"rope_type", "linear"}, {"factor", -2.0}}},
      {"has no factor", {{"rope_type", "linear"}}},
      {"rope_theta is 0", {{"rope_theta", 0}}},
      {"'longrope'", {{"rope_type", "longrope"}, {"factor", 2.0}}},
      {"llama_4_scaling_beta", {{"rope_type", "yarn"}, {"factor", 2.0}, {"llama_4_scaling_beta", 0.1}}},
      {"full_attention", {{"full_attention", {{"rope_type", "default"}}}}},
      {"factor and no rope_type", {{"factor", 2.0}}},
      {"not an object", 3},
      {"attention_factor is -1", {{"rope_type", "yarn"}, {"factor", 2.0}, {"attention_factor", -1}}},
      {"rope makes no sense", {{"rope_type", "yarn"}, {"factor", 2.0}, {"rope_theta", 1}}}};
  for (const auto& [words, rope] : refused) {
    const auto description = with(rope);
    ASSERT_FALSE(description) << rope;
    EXPECT_THAT(description.error().message, HasSubstr(words));
  }
  const auto dynamic = with({{"rope_type", "dynamic"}, {"factor", 2.0}, {"rope_theta", 1e4}});
  ASSERT_TRUE(dynamic) << to_string(dynamic.error());
  EXPECT_EQ(dynamic->config.ropes[0].inverse_frequencies, rope_inverse_frequencies(1e4, 32)) << "within the context";
  // transformers 5.17, _compute_yarn_parameters: get_mscale(factor, mscale) / get_mscale(factor, mscale_all_dim).
  const auto scaled = with({{"rope_type", "yarn"}, {"factor", 16.0}, {"mscale", 1.0}, {"mscale_all_dim", 0.5}});
  ASSERT_TRUE(scaled) << to_string(scaled.error());
  EXPECT_NEAR(scaled->config.ropes[0].magnitude, (0.1 * std::log(16) + 1) / (0.05 * std::log(16) + 1), 1e-6);
  const auto stretched = with({{"rope_type", "yarn"}, {"factor", nullptr}, {"original_max_position_embeddings", 64}});
  ASSERT_TRUE(stretched) << to_string(stretched.error());
  EXPECT_NEAR(stretched->config.ropes[0].magnitude, 0.1 * std::log(4) + 1, 1e-6) << "256 positions of 64";
  EXPECT_FALSE(describe_with("llama", "rope_scaling", {{"rope_type", "linear"}, {"factor", 2.0}}))
      << "it would be ignored beside rope_parameters";
  EXPECT_FALSE(describe_with("gemma3_text", "rope_scaling", {{"rope_type", "linear"}, {"factor", 2.0}}));
  EXPECT_FALSE(describe_with("gemma3_text", "rope_parameters", {{"rope_type", "linear"}, {"factor", 2.0}}));
}

// modeling_deepseek_v3.py of transformers 5.17: scaling, and which of the queries' projections there are.
TEST(Families, LatentAttentionIsWhatTheFileSays) {
  const auto attention = [](const std::function<void(Json&)>& edit) {
    const EditedCheckpoint edited("deepseek_v3", edit);
    const auto description =
        describe_config(Json::parse(read_whole_file(edited.path() / "config.json").value()), "config");
    EXPECT_TRUE(description) << to_string(description.error());
    return description ? std::get<LatentAttentionConfig>(description->config.layers.at(0).mixer)
                       : LatentAttentionConfig{};
  };
  EXPECT_EQ(attention([](Json& config) { config["q_lora_rank"] = nullptr; }).q_rank, 0U);
  EXPECT_EQ(attention([](Json& config) { config.erase("q_lora_rank"); }).q_rank, 1536U);
  const float plain = attention([](Json&) {}).scale;
  EXPECT_FLOAT_EQ(plain, 1 / std::sqrt(40.0F));
  const Json yarn = {{"rope_type", "yarn"}, {"factor", 40.0}, {"mscale", 1.0}, {"mscale_all_dim", 0.5}};
  const float wide = attention([&](Json& config) { config["rope_parameters"] = yarn; }).scale;
  EXPECT_NEAR(wide / plain, std::pow(0.05 * std::log(40.0) + 1, 2), 1e-5);
  Json without_factor = yarn;
  without_factor.erase("factor");
  without_factor["original_max_position_embeddings"] = 64;
  const auto refused = describe_with("deepseek_v3", "rope_parameters", without_factor);
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, HasSubstr("mscale_all_dim"));
}

ExpertsConfig experts_of(const DecoderConfig& config) {
  return std::get<ExpertsConfig>(config.layers.back().feed_forward);
}

// modeling_deepseek_v2.py: groups count with one of the two ways to choose, and are as good as their best expert.
TEST(Families, DeepSeekV2ChoosesBySoftmax) {
  const auto experts = [](const char* method) {
    const auto description = describe_with("deepseek_v2", "topk_method", method);
    EXPECT_TRUE(description) << to_string(description.error());
    return description ? experts_of(description->config) : ExpertsConfig{};
  };
  const ExpertsConfig limited = experts("group_limited_greedy"), greedy = experts("greedy");
  EXPECT_EQ(limited.router, RouterKind::softmax);
  EXPECT_EQ(limited.groups, 4U);
  EXPECT_EQ(limited.chosen_groups, 2U);
  EXPECT_EQ(limited.group_raters, 1U);
  EXPECT_EQ(greedy.groups, 1U);
  EXPECT_EQ(greedy.chosen_groups, 1U);
  const auto without_groups = describe("deepseek_v2", [](Json& config) {
    config["n_group"] = config["topk_group"] = nullptr;
    config["topk_method"] = "greedy";
  });
  ASSERT_TRUE(without_groups) << to_string(without_groups.error());
}

/// Kimi K2's config.json as it is published, without what says how its weights are quantised.
TEST(Families, KimiK2IsADeepSeekV3OfOtherNumbers) {
  const Json config = Json::parse(R"({
    "architectures": ["DeepseekV3ForCausalLM"], "attention_bias": false, "attention_dropout": 0.0,
    "auto_map": {"AutoConfig": "configuration_deepseek.DeepseekV3Config"}, "aux_loss_alpha": 0.001,
    "bos_token_id": 163584, "eos_token_id": 163585, "ep_size": 1, "first_k_dense_replace": 1, "hidden_act": "silu",
    "hidden_size": 7168, "initializer_range": 0.02, "intermediate_size": 18432, "kv_lora_rank": 512,
    "max_position_embeddings": 131072, "model_type": "kimi_k2", "moe_intermediate_size": 2048, "moe_layer_freq": 1,
    "n_group": 1, "n_routed_experts": 384, "n_shared_experts": 1, "norm_topk_prob": true, "num_attention_heads": 64,
    "num_experts_per_tok": 8, "num_hidden_layers": 61, "num_key_value_heads": 64, "num_nextn_predict_layers": 0,
    "pretraining_tp": 1, "q_lora_rank": 1536, "qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "rms_norm_eps": 1e-6,
    "rope_scaling": {"beta_fast": 1.0, "beta_slow": 1.0, "factor": 32.0, "mscale": 1.0, "mscale_all_dim": 1.0,
                     "original_max_position_embeddings": 4096, "type": "yarn"},
    "rope_theta": 50000.0, "routed_scaling_factor": 2.827, "scoring_func": "sigmoid", "seq_aux": true,
    "tie_word_embeddings": false, "topk_group": 1, "topk_method": "noaux_tc", "torch_dtype": "bfloat16",
    "transformers_version": "4.48.3", "use_cache": true, "v_head_dim": 128, "vocab_size": 163840})");
  const auto description = describe_config(config, "config");
  ASSERT_TRUE(description) << to_string(description.error());
  EXPECT_EQ(description->config.layers.size(), 61U);
  const auto attention = std::get<LatentAttentionConfig>(description->config.layers[0].mixer);
  EXPECT_EQ(attention.heads, 64U);
  EXPECT_EQ(attention.q_rank, 1536U);
  EXPECT_EQ(attention.row_width(), 576U);
  EXPECT_NEAR(attention.scale, std::pow(0.1 * std::log(32) + 1, 2) / std::sqrt(192.0), 1e-6);
  EXPECT_FLOAT_EQ(description->config.ropes[0].magnitude, 1.0F);
  const ExpertsConfig experts = experts_of(description->config);
  EXPECT_EQ(experts.experts, 384U);
  EXPECT_EQ(experts.router, RouterKind::sigmoid);
  EXPECT_EQ(experts.groups, 1U);
  EXPECT_FLOAT_EQ(experts.scale, 2.827F);
  EXPECT_TRUE(std::holds_alternative<DenseConfig>(description->config.layers[0].feed_forward));
  // Of the same weights the same decoder.
  const auto kimi = describe_with("deepseek_v3", "model_type", "kimi_k2"), v3 = describe("deepseek_v3", [](Json&) {});
  ASSERT_TRUE(kimi) << to_string(kimi.error());
  EXPECT_EQ(kimi->names.kv_b, v3->names.kv_b);
  EXPECT_EQ(experts_of(kimi->config).chosen_groups, experts_of(v3->config).chosen_groups);
}

}  // namespace
}  // namespace hearth
