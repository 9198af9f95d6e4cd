#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "formats/codings/stored_tensors.h"

namespace hearth::codings {

struct BlockSize {
  uint64_t rows = 1, columns = 1;
};
/// Of [rows, columns]; nothing for anything else.
std::optional<BlockSize> block_size(const nlohmann::json& size);

/// Joins `name`, floats of 8 bits, with its scales, by which they are multiplied: one for each block where `blocks` are
/// given, else one for each row or for all. Does nothing where `name` is something else.
void join_scaled_fp8(StoredTensors& stored, const std::string& name, const std::string& scale_name,
                     const std::optional<BlockSize>& blocks);

/// Joins U8 [rows, columns / 2] of two e2m1 numbers each with scales for `group` columns, U8 exponents or floats, and
/// the scale of all scales where `global_name` is not empty.
void join_scaled_fp4(StoredTensors& stored, const std::string& name, const std::string& codes_name,
                     const std::string& scale_name, uint64_t group, const std::string& global_name, bool divides);

}  // namespace hearth::codings
