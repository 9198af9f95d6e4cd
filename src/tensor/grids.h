#pragma once

#include <array>
#include <cstdint>

namespace hearth {

// The groups of values that GGUF's i encodings choose from, each as one number: two bits a value for eight values
// (which of the format's three magnitudes), three bits for four (of eight), the first value lowest.
extern const std::array<uint16_t, 256> kGrid2Xxs;
extern const std::array<uint16_t, 512> kGrid2Xs;
extern const std::array<uint16_t, 1024> kGrid2S;
extern const std::array<uint16_t, 2048> kGrid1;  ///< of iq1_s and iq1_m: -1, 0, 1
extern const std::array<uint16_t, 256> kGrid3Xxs;
extern const std::array<uint16_t, 512> kGrid3S;

inline constexpr int8_t kMagnitudes2[4] = {8, 25, 43, 0};
inline constexpr int8_t kMagnitudes3Xxs[8] = {4, 12, 20, 28, 36, 44, 52, 62};
inline constexpr int8_t kMagnitudes3S[8] = {1, 3, 5, 7, 9, 11, 13, 15};

}  // namespace hearth
