#include "formats/lfs_pointer.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <string>
#include <string_view>

#include "base/printable.h"

namespace hearth {
namespace {

/// "4.98 GB" of the line "size 4976698672", if there is one.
std::string size_in(std::string_view pointer) {
  constexpr std::string_view kKey = "\nsize ";
  const size_t at = pointer.find(kKey);
  uint64_t bytes = 0;
  if (at != pointer.npos) {
    const std::string_view number = pointer.substr(at + kKey.size());
    std::from_chars(number.data(), number.data() + number.size(), bytes);
  }
  return bytes > 0 ? fmt::format("{:.2f} GB", static_cast<double>(bytes) / 1e9) : "the file";
}

}  // namespace

Result<void> refuse_lfs_pointer(const File& file) {
  constexpr std::string_view kFirstLine = "version https://git-lfs.github.com/spec/";
  constexpr uint64_t kMostBytes = 1024;  // by the specification
  if (file.size_bytes() > kMostBytes || file.size_bytes() < kFirstLine.size()) return {};
  std::string text(file.size_bytes(), ' ');
  if (auto read = file.read_at(0, std::as_writable_bytes(std::span(text))); !read) return read;
  if (!text.starts_with(kFirstLine)) return {};
  return fail(
      ErrorCode::not_found,
      fmt::format("{}: only Git LFS's pointer to {} is here", printable(file.path().native(), 1024), size_in(text)),
      "run `git lfs pull` in its folder, or download the file itself");
}

}  // namespace hearth
