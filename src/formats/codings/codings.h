#pragma once

#include <nlohmann/json.hpp>

#include "base/result.h"
#include "formats/codings/stored_tensors.h"

namespace hearth::codings {

/// Joins what is coded by the layered layout, which says so itself.
void join_layered(StoredTensors& stored);

/// Joins what is coded as `quantization` says, config.json's quantization_config. Errors: unsupported, for a method or
/// a setting that hearth does not read, which it names. What is wrong with one tensor alone becomes an unsupported
/// tensor.
Result<void> join_quantized(StoredTensors& stored, const nlohmann::json& quantization);

// Each of those, in the file of its name. Settings that make other values are refused.
void join_mxfp4_blocks(StoredTensors& stored);
void join_torchao(StoredTensors& stored);
Result<void> join_fp8(StoredTensors& stored, const nlohmann::json& quantization);
Result<void> join_modelopt(StoredTensors& stored, const nlohmann::json& quantization);
Result<void> join_awq(StoredTensors& stored, const nlohmann::json& quantization);
Result<void> join_gptq(StoredTensors& stored, const nlohmann::json& quantization);
Result<void> join_compressed(StoredTensors& stored, const nlohmann::json& quantization);

}  // namespace hearth::codings
