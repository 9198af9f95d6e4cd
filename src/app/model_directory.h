#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace hearth::app {

/// A model that lies in a directory, and what clients call it.
struct FoundModel {
  std::filesystem::path path;
  std::string name;
};

/// What clients call these models: their served_name, or their paths, as seen from `folder` unless it is empty, where
/// two would have the same name.
std::vector<FoundModel> name_models(const std::vector<std::filesystem::path>& paths,
                                    const std::filesystem::path& folder = {});

/// What looks like a model in `directory` and in up to three folders below: GGUF files (of a split one the first, and
/// no projectors of images) and directories with config.json. Sorted by name. What cannot be listed is left out.
std::vector<FoundModel> find_models(const std::filesystem::path& directory);

/// Bytes of the files of the model at `path`, all parts together; 0 where nothing can be read.
uint64_t model_file_bytes(const std::filesystem::path& path);

}  // namespace hearth::app
