#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "base/result.h"

namespace hearth {

/// How a directory says that its tensors are coded.
struct QuantizationConfig {
  std::string source;    ///< for people: "config.json's quantization_config"
  nlohmann::json value;  ///< as config.json has it: with a quant_method
};

/// quantization_config or, as older files call it, compression_config in config.json, where the whole's counts before
/// the decoder's; else the file that a quantizer has left beside it: quantize_config.json of GPTQ's, quant_config.json
/// of AWQ's, hf_quant_config.json of ModelOpt's. Nothing where there is none. Errors: corrupt, io.
Result<std::optional<QuantizationConfig>> find_quantization_config(const std::filesystem::path& directory,
                                                                   const nlohmann::json& config);

}  // namespace hearth
