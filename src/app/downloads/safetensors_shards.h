#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace hearth::app {

/// What of a Hugging Face directory's weights is there.
struct SafetensorsShards {
  bool has_index = false;
  uint64_t bytes = 0;                ///< of all safetensors files in the folder
  std::vector<std::string> missing;  ///< files that the index names, or the others' numbers, or model.safetensors
  std::string problem;               ///< of an index that cannot be read
};

/// Looks for files only: what is in them is checked when the model is opened.
SafetensorsShards safetensors_shards(const std::filesystem::path& folder);

}  // namespace hearth::app
