#include <algorithm>
#include <array>

#include "model/families/family.h"
#include "model/families/gguf_fields.h"
#include "model/families/hugging_face_fields.h"

// LFM2 (Liquid AI): most layers mix by a short gated convolution, the others by attention.
namespace hearth {
namespace {

constexpr std::array<std::string_view, 1> kModelTypes = {"lfm2"};
constexpr std::array<std::string_view, 1> kArchitectures = {"lfm2"};

/// Layers that `is_convolution` names lose their attention.
template <class F>
void set_convolutions(DecoderConfig& config, uint32_t kernel, F&& is_convolution) {
  for (uint32_t i = 0; i < config.layers.size(); ++i) {
    if (is_convolution(i)) config.layers[i].mixer = ShortConvolutionConfig{.channels = config.hidden, .kernel = kernel};
  }
}

/// The keys of first checkpoints in the place of those that mean the same today.
nlohmann::json with_todays_keys(nlohmann::json config) {
  const auto replace = [&](const char* today, const char* before) {
    if (!config.contains(before)) return;
    config[today] = config[before];
    config.erase(before);
  };
  replace("intermediate_size", "block_ff_dim");
  replace("tie_word_embeddings", "tie_embedding");
  return config;
}

/// The width that the configuration asks for is that of a part without a gate.
uint32_t feed_forward_width(fields::HuggingFaceFields& f, uint32_t width) {
  const bool adjust = f.boolean("block_auto_adjust_ff_dim", true);
  const float factor = f.f32("block_ffn_dim_multiplier", 1.0F);
  const uint32_t multiple = f.u32("block_multiple_of", 256);
  if (!adjust) return width;
  if (!(factor > 0 && factor < 1000) || multiple == 0 || width > 1 << 22) {
    f.fail("block_ffn_dim_multiplier or block_multiple_of makes no sense");
    return width;
  }
  width = static_cast<uint32_t>(uint64_t{width} * 2 / 3);
  if (f.has("block_ffn_dim_multiplier")) width = static_cast<uint32_t>(double{factor} * width);
  return (width + multiple - 1) / multiple * multiple;
}

void set_mixers(fields::HuggingFaceFields& f, DecoderConfig& c) {
  const uint32_t kernel = f.u32("conv_L_cache", 3);
  const nlohmann::json& types = f.value("layer_types");
  const nlohmann::json& indices = f.value("full_attn_idxs");
  const size_t layers = c.layers.size();
  if (types.is_array() && types.size() == layers) {
    const auto known = [](const auto& type) { return type == "conv" || type == "full_attention"; };
    if (!std::ranges::all_of(types, known)) f.fail("layer_types has unknown layers", ErrorCode::unsupported);
    return set_convolutions(c, kernel, [&](uint32_t i) { return types[i] == "conv"; });
  }
  if (!types.is_null()) return f.fail("layer_types is not a list with an entry for each layer");
  if (indices.is_null()) return;  // attention everywhere
  if (!indices.is_array()) return f.fail("full_attn_idxs is not a list");
  set_convolutions(c, kernel, [&](uint32_t i) {
    return std::none_of(indices.begin(), indices.end(), [&](const auto& index) { return index == i; });
  });
}

void name_tensors(TensorNames& names, bool biases) {
  const std::string layer = "model.layers.{}.";
  names.output_norm = "model.embedding_norm.weight";
  names.attention_norm = layer + "operator_norm.weight";
  names.feed_forward_norm = layer + "ffn_norm.weight";
  names.output = layer + "self_attn.out_proj.weight";
  names.q_norm = layer + "self_attn.q_layernorm.weight";
  names.k_norm = layer + "self_attn.k_layernorm.weight";
  names.gate = layer + "feed_forward.w1.weight";
  names.up = layer + "feed_forward.w3.weight";
  names.down = layer + "feed_forward.w2.weight";
  names.state_input = layer + "conv.in_proj.weight";
  names.convolution = layer + "conv.conv.weight";
  names.state_output = layer + "conv.out_proj.weight";
  if (!biases) return;
  names.state_input_bias = layer + "conv.in_proj.bias";
  names.convolution_bias = layer + "conv.conv.bias";
  names.state_output_bias = layer + "conv.out_proj.bias";
}

Result<DecoderDescription> from_hugging_face(const nlohmann::json& given) {
  const nlohmann::json config = with_todays_keys(given);
  fields::HuggingFaceFields f(config);
  DecoderDescription d = fields::common(f, {.family = "lfm2",
                                            .sizes = {2560, 12288, 32, 32, 65536},
                                            .rope_theta = 1e6,
                                            .context_length = 128000,
                                            .kv_heads = 8,
                                            .tied_embeddings = true,
                                            .epsilon_key = "norm_eps",
                                            .epsilon = 1e-5F});
  for (LayerConfig& layer : d.config.layers) {
    auto& dense = std::get<DenseConfig>(layer.feed_forward);
    dense.width = feed_forward_width(f, dense.width);
  }
  set_mixers(f, d.config);
  name_tensors(d.names, f.boolean("conv_bias", false));
  return fields::finish(f, std::move(d));
}

Result<DecoderDescription> from_gguf(const Gguf& gguf) {
  fields::GgufFields f(gguf);
  DecoderDescription d = fields::common(f, {.family = "lfm2", .has_parts_by_layer = true});
  const auto layers = static_cast<uint32_t>(d.config.layers.size());
  const std::vector<uint32_t> kv_heads = f.u32_of_layers("attention.head_count_kv", layers, 1);
  const uint32_t kernel = f.u32("shortconv.l_cache");
  set_convolutions(d.config, kernel, [&](uint32_t i) { return kv_heads[i] == 0; });
  TensorNames& n = d.names;
  n.output_norm = "token_embd_norm.weight";
  n.q_norm = "blk.{}.attn_q_norm.weight";
  n.k_norm = "blk.{}.attn_k_norm.weight";
  n.state_input = "blk.{}.shortconv.in_proj.weight";
  n.convolution = "blk.{}.shortconv.conv.weight";
  n.state_output = "blk.{}.shortconv.out_proj.weight";
  return fields::finish(f, std::move(d));
}

}  // namespace

const Family kLfm2 = {"lfm2", kModelTypes, kArchitectures, from_hugging_face, from_gguf};

}  // namespace hearth
