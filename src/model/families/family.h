#pragma once

#include <nlohmann/json.hpp>
#include <span>
#include <string_view>

#include "base/result.h"
#include "formats/checkpoint.h"
#include "formats/gguf.h"
#include "formats/huggingface.h"
#include "model/decoder_config.h"
#include "model/tensor_names.h"

namespace hearth {

/// What a family's file makes of a checkpoint.
struct DecoderDescription {
  DecoderConfig config;
  TensorNames names;
  std::vector<std::string> unknown_keys;  ///< of config.json, for the log
  uint32_t extra_layers = 0;              ///< behind the others, which predict further tokens and are not loaded
  std::vector<std::string> applied;       ///< tensors that became a part of `config`
};

/// A model family: which checkpoints are its, and how their fields map to a DecoderConfig. One file for each family
/// defines one of these; the table is in family.cc.
struct Family {
  std::string_view name;
  std::span<const std::string_view> model_types;         ///< config.json's model_type
  std::span<const std::string_view> gguf_architectures;  ///< general.architecture
  Result<DecoderDescription> (*from_hugging_face)(const nlohmann::json& config);
  Result<DecoderDescription> (*from_gguf)(const Gguf& gguf);
};

extern const Family kLlama;
extern const Family kQwen2;
extern const Family kQwen3;
extern const Family kMistral;
extern const Family kGemma2;
extern const Family kGemma3;
extern const Family kGemma4;
extern const Family kMinistral3;
extern const Family kPhi3;
extern const Family kOlmo;
extern const Family kGranite;
extern const Family kCohere2;
extern const Family kSeedOss;
extern const Family kSmolLM3;
extern const Family kGlm4;
extern const Family kExaone4;
extern const Family kHunyuan;
extern const Family kErnie;
extern const Family kArcee;
extern const Family kApertus;
extern const Family kStarcoder2;
extern const Family kStableLm;
extern const Family kQwen3Moe;
extern const Family kMixtral;
extern const Family kGlm4Moe;
extern const Family kMiniMaxM2;
extern const Family kGptOss;
extern const Family kLlama4;
extern const Family kLfm2;
extern const Family kQwen3Next;
extern const Family kQwen35;
extern const Family kGraniteHybrid;
extern const Family kNemotronH;
extern const Family kDeepseekV3;
extern const Family kGlm4MoeLite;

/// All families, in the order of the documentation.
std::span<const Family* const> families();

/// Finds the family that a checkpoint declares and lets it describe the decoder; checks that the numbers fit together.
/// Errors: unsupported (a family that is not in the table, naming those that are), corrupt.
Result<DecoderDescription> describe_decoder(const Checkpoint& checkpoint);

/// The same from a config.json alone, an object, which `path` names in errors.
Result<DecoderDescription> describe_config(const nlohmann::json& config, const std::string& path);

}  // namespace hearth
