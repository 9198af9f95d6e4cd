#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace hearth {

/// The first line of one of the kernel's small files (sysfs, procfs), without blanks at its ends and fit for a line of
/// text (printable). Nothing where the file is missing, may not be read, is no file or is empty. Reading one asks a
/// driver, which may hang: watched_call bounds that.
std::optional<std::string> read_attribute(const std::filesystem::path& path);

/// Likewise, where all of the line is a whole number, decimal or hexadecimal with 0x. Nothing for anything else.
std::optional<uint64_t> read_number_attribute(const std::filesystem::path& path);

/// The decimal or 0x number that all of `text` is; nothing for anything else.
std::optional<uint64_t> whole_number(const std::string& text);

/// The paths of what is in a folder, sorted; empty where it cannot be listed.
std::vector<std::filesystem::path> folder_entries(const std::filesystem::path& folder);

}  // namespace hearth
