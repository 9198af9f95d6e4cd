#pragma once

#include <filesystem>
#include <string>

namespace hearth::app {

/// What clients call the model at `path` when nobody says otherwise: the file's name without .gguf, or the directory's
/// real name, whatever dots are in it ("." is the folder itself). Printable, as JSON must be UTF-8.
std::string served_name(const std::filesystem::path& path);

}  // namespace hearth::app
