#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace hearth {

/// `text` as it may stand inside a one-line message: control characters and bytes that are not UTF-8 become \xNN, and
/// what goes beyond `max_bytes` is cut and marked with "...". For names that come from files and requests.
std::string printable(std::string_view text, size_t max_bytes = 120);

}  // namespace hearth
