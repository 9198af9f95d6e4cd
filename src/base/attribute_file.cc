#include "base/attribute_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <string_view>

#include "base/printable.h"
#include "base/reading/read_watch.h"

namespace hearth {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMostBytes = 4096;  // sysfs gives a page at most
constexpr std::string_view kBlanks(" \t\r\n\0", 5);

std::string_view trimmed(std::string_view text) {
  const size_t begin = text.find_first_not_of(kBlanks);
  if (begin == text.npos) return {};
  return text.substr(begin, text.find_last_not_of(kBlanks) - begin + 1);
}

}  // namespace

std::optional<std::string> read_attribute(const fs::path& path) {
  const AsksFile asks(path, 0, kMostBytes);
  // A pipe in its place would wait for a writer.
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (descriptor < 0) return std::nullopt;
  struct stat status = {};
  std::array<char, kMostBytes> bytes;
  const bool is_file = ::fstat(descriptor, &status) == 0 && S_ISREG(status.st_mode);
  const ssize_t got = is_file ? ::read(descriptor, bytes.data(), bytes.size()) : -1;
  ::close(descriptor);
  if (got <= 0) return std::nullopt;
  const std::string_view text(bytes.data(), static_cast<size_t>(got));
  const std::string_view line = trimmed(text.substr(0, text.find('\n')));
  if (line.empty()) return std::nullopt;
  return printable(line);
}

std::optional<uint64_t> read_number_attribute(const fs::path& path) {
  const auto text = read_attribute(path);
  return text ? whole_number(*text) : std::nullopt;
}

std::optional<uint64_t> whole_number(const std::string& text) {
  const bool is_hexadecimal = text.starts_with("0x");
  const char* begin = text.data() + (is_hexadecimal ? 2 : 0);
  const char* end = text.data() + text.size();
  uint64_t number = 0;
  const auto [rest, error] = std::from_chars(begin, end, number, is_hexadecimal ? 16 : 10);
  if (error != std::errc() || rest != end) return std::nullopt;
  return number;
}

std::vector<fs::path> folder_entries(const fs::path& folder) {
  std::error_code error;
  std::vector<fs::path> found;
  for (auto it = fs::directory_iterator(folder, error); !error && it != fs::directory_iterator(); it.increment(error)) {
    found.push_back(it->path());
  }
  std::ranges::sort(found);
  return found;
}

}  // namespace hearth
