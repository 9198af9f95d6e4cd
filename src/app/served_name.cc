#include "app/served_name.h"

#include <system_error>

#include "base/printable.h"

namespace hearth::app {

std::string served_name(const std::filesystem::path& path) {
  std::filesystem::path named = path.has_filename() ? path : path.parent_path();
  if (const auto last = named.filename(); last.empty() || last == "." || last == "..") {
    std::error_code error;
    const auto real = std::filesystem::canonical(path, error);
    named = error ? named : real;
  }
  std::string name = named.filename().native();
  constexpr std::string_view kEnding = ".gguf";
  if (name.ends_with(kEnding) && name.size() > kEnding.size()) name.resize(name.size() - kEnding.size());
  return name.empty() ? "model" : printable(name, 1024);
}

}  // namespace hearth::app
