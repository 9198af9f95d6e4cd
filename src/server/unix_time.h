#pragma once

#include <chrono>
#include <cstdint>

namespace hearth {

/// Now, as OpenAI's objects have it in `created`.
inline int64_t seconds_since_1970() {
  return std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch()).count();
}

}  // namespace hearth
