#pragma once

#include <cstdint>
#include <string_view>

namespace hearth {

/// How bytes come from files into memory.
enum class ReadWay : uint8_t {
  automatic,  ///< copied where they are in the page cache, else the first of the others that works here
  ring,       ///< by io_uring, past the page cache where the file allows it
  threads,    ///< by threads that wait, past the page cache where the file allows it
  buffered,   ///< by threads that wait, through the page cache
  cached,     ///< likewise, and copied where they are there already
};

constexpr std::string_view name_of(ReadWay way) {
  constexpr std::string_view kNames[] = {"auto", "ring", "threads", "buffered", "cached"};
  return kNames[static_cast<uint8_t>(way)];
}

}  // namespace hearth
