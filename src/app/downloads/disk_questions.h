#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "formats/directory_files.h"

namespace hearth::app {

// What is asked of a disk that may not answer: each question is entered for those who watch the thread
// (base/reading/read_watch.h). Links are followed. is_there is formats/directory_files.h's.

bool is_folder(const std::filesystem::path& path);

/// 0 where it cannot be told.
uint64_t file_bytes(const std::filesystem::path& path);

/// The paths of what is in a folder, sorted; empty where it cannot be listed.
std::vector<std::filesystem::path> entries_of(const std::filesystem::path& folder);

/// "", " (not there)" or " (may not be read)": of a folder that was looked into.
std::string state_of_folder(const std::filesystem::path& folder);

}  // namespace hearth::app
