#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace hearth {

/// model-000XX-of-000SS_layer_N.safetensors, the tensors of layer N that stood in shard XX of the checkpoint that it
/// was made of, or model-000XX-of-000SS_shared.safetensors, those of no layer.
struct LayeredName {
  uint32_t shard = 0, shards = 0;
  std::optional<uint32_t> layer;
};
std::optional<LayeredName> parse_layered_name(std::string_view name);

/// Of `names`, those of the layered layout; none where there are none. Errors: not_found, naming the shard or the layer
/// of which there is no file, by what the names and config.json say; corrupt, for files of several checkpoints.
Result<std::vector<std::string>> find_layered_files(const std::filesystem::path& directory,
                                                    const std::vector<std::string>& names,
                                                    const nlohmann::json& config);

/// Where a tensor of a layer would be that is in none of these files: which files that layer has, and that its others
/// lie in a shard beside them. Nothing for a tensor of no layer.
std::string where_layer_lies(const std::vector<std::string>& files, std::string_view tensor);

}  // namespace hearth
