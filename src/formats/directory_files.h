#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/result.h"

namespace hearth {

// What a Hugging Face directory has beside weights. Who waits for a disk here is seen by base/reading/read_watch.h.

/// A path as text for people.
std::string shown(const std::filesystem::path& path);

bool is_there(const std::filesystem::path& path);

/// Names of the files that end with `suffix`, sorted; none where the directory cannot be listed.
std::vector<std::string> file_names(const std::filesystem::path& directory, std::string_view suffix);

/// A JSON object, in which numbers that JSON does not have (Python's NaN) are null. Errors: corrupt, io.
Result<nlohmann::json> read_object(const std::filesystem::path& path);
/// null when the file is not there.
Result<nlohmann::json> read_optional_object(const std::filesystem::path& path);

}  // namespace hearth
