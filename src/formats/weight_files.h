#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/result.h"

namespace hearth {

/// A safetensors file of a directory, and which of its tensors belong to the model: all, or those that an index names.
struct WeightFile {
  std::string name;
  std::optional<std::set<std::string>> tensors;
};

/// The files of model.safetensors.index.json; else model.safetensors; else numbered shards or layered files, where all
/// of them are there. Errors: not_found, corrupt; a missing file is named.
Result<std::vector<WeightFile>> find_weight_files(const std::filesystem::path& directory, const nlohmann::json& config);

}  // namespace hearth
