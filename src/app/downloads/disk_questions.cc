#include "app/downloads/disk_questions.h"

#include <system_error>

#include "base/attribute_file.h"
#include "base/reading/read_watch.h"

namespace hearth::app {

namespace fs = std::filesystem;

bool is_folder(const fs::path& path) {
  const AsksFile asks(path, 0, 0);
  std::error_code error;
  return fs::is_directory(path, error);
}

uint64_t file_bytes(const fs::path& path) {
  const AsksFile asks(path, 0, 0);
  std::error_code error;
  const auto bytes = fs::file_size(path, error);
  return error ? 0 : bytes;
}

std::vector<fs::path> entries_of(const fs::path& folder) {
  const AsksFile asks(folder, 0, 0);
  return folder_entries(folder);
}

std::string state_of_folder(const fs::path& folder) {
  const AsksFile asks(folder, 0, 0);
  std::error_code error;
  const fs::directory_iterator listed(folder, error);
  if (!error) return {};
  return error == std::errc::permission_denied ? " (may not be read)" : " (not there)";
}

}  // namespace hearth::app
