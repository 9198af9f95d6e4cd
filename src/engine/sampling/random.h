#pragma once

#include <cstdint>

namespace hearth {

/// SplitMix64's output function (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014).
inline uint64_t mix_bits(uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

/// The `index`-th number of the stream `seed`, uniform in [0, 1). It depends on nothing else, so a sequence draws the
/// same numbers whoever runs beside it.
inline double uniform(uint64_t seed, uint64_t index) {
  const uint64_t bits = mix_bits(mix_bits(seed + 0x9e3779b97f4a7c15) + (index + 1) * 0x9e3779b97f4a7c15);
  return static_cast<double>(bits >> 11) * 0x1p-53;
}

}  // namespace hearth
