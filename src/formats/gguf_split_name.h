#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace hearth {

/// The name of a file of a model that is split: name-00002-of-00005.gguf is {"name", 2, 5}.
struct GgufSplitName {
  std::string prefix;
  uint32_t number = 0;
  uint32_t count = 0;

  /// Nothing where the model is not split.
  static std::optional<GgufSplitName> parse(std::string_view file_name);

  /// The file's name of another number.
  std::string of(uint32_t other) const;
};

}  // namespace hearth
