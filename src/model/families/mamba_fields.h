#pragma once

#include <algorithm>
#include <string>

#include "model/families/expert_fields.h"

// What families with Mamba 2 have in common.
namespace hearth::fields {

/// The least that time_step_limit lets a step be; there must be no most. Infinity is written in several ways.
inline float least_step(HuggingFaceFields& f) {
  const nlohmann::json& limit = f.value("time_step_limit");
  if (limit.is_null()) return 0;
  const auto is_infinite = [](const nlohmann::json& value) {
    return value.is_null() || value == nlohmann::json{{"__float__", "Infinity"}};
  };
  const bool fits = limit.is_array() && limit.size() == 2 && limit[0].is_number() && is_infinite(limit[1]);
  const double least = fits ? limit[0].get<double>() : -1;
  if (least >= 0 && least < 1) return static_cast<float>(least);
  f.fail("time_step_limit is " + limit.dump().substr(0, 60) + ", which is not supported", ErrorCode::unsupported);
  return 0;
}

/// The kind of each layer, from the first of `keys` that is there: a list of words, of which some have two.
inline std::vector<std::string> layer_kinds(HuggingFaceFields& f, std::initializer_list<const char*> keys) {
  std::vector<std::string> kinds;
  for (const char* key : keys) {
    const nlohmann::json& list = f.value(key);
    if (!kinds.empty() || list.is_null()) continue;
    if (!list.is_array()) return f.fail(std::string(key) + " is not a list"), kinds;
    for (const nlohmann::json& kind : list) {
      const std::string word = kind.is_string() ? kind.get<std::string>() : kind.dump().substr(0, 40);
      const bool is_mamba = word == "mamba" || word == "mamba2" || word == "linear_attention";
      kinds.push_back(is_mamba ? "mamba" : word == "full_attention" ? "attention" : word);
    }
  }
  return kinds;
}

/// The tensors of a mixer, below `part`.
inline void name_mamba(TensorNames& names, const std::string& part, bool projection_biases, bool convolution_bias) {
  names.state_input = part + "in_proj.weight";
  names.convolution = part + "conv1d.weight";
  names.decay_log = part + "A_log";
  names.step_bias = part + "dt_bias";
  names.skip = part + "D";
  names.state_norm = part + "norm.weight";
  names.state_output = part + "out_proj.weight";
  if (convolution_bias) names.convolution_bias = part + "conv1d.bias";
  if (!projection_biases) return;
  names.state_input_bias = part + "in_proj.bias";
  names.state_output_bias = part + "out_proj.bias";
}

/// The same of a GGUF: a layer without KV heads is a mixer unless it has a feed-forward part alone.
inline Mamba2Config mamba_of(GgufFields& f, TensorNames& n) {
  Mamba2Config mamba = {.heads = f.u32("ssm.time_step_rank"),
                        .groups = f.u32("ssm.group_count"),
                        .state_dim = f.u32("ssm.state_size"),
                        .kernel = f.u32("ssm.conv_kernel")};
  const uint32_t width = f.u32("ssm.inner_size");
  if (mamba.heads > 0 && width % mamba.heads == 0) mamba.head_dim = width / mamba.heads;
  const std::string layer = "blk.{}.";
  n.state_input = layer + "ssm_in.weight";
  n.convolution = layer + "ssm_conv1d.weight";
  n.convolution_bias = layer + "ssm_conv1d.bias";
  n.decay_rate = layer + "ssm_a";
  n.step_bias = layer + "ssm_dt.bias";
  n.skip = layer + "ssm_d";
  n.state_norm = layer + "ssm_norm.weight";
  n.state_output = layer + "ssm_out.weight";
  return mamba;
}

}  // namespace hearth::fields
