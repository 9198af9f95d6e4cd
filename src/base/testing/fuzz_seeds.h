#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>

extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t most_bytes);

namespace hearth::testing {

/// What LLVMFuzzerCustomMutator does in every fuzzer: mostly what libFuzzer does without it, and now and then one of
/// `seeds` in place of the input, so that a fuzzer needs no files to begin with what is right.
inline size_t seed_or_mutate(std::span<const std::string> seeds, uint8_t* data, size_t size, size_t most_bytes,
                             unsigned random) {
  if (size > 4 && random % 1000 != 0) return LLVMFuzzerMutate(data, size, most_bytes);
  const std::string& seed = seeds[random / 1000 % seeds.size()];
  const size_t bytes = std::min(seed.size(), most_bytes);
  std::memcpy(data, seed.data(), bytes);
  return bytes;
}

}  // namespace hearth::testing
