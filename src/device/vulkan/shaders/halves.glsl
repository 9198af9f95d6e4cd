// Numbers as f16, scaled by powers of two so that none overflows or loses bits that matter (layout.h).

/// Values of blocks that are decoded to f16 are so many times as large, so that small ones are no subnormal numbers.
const float DECODED_POWER = 256;

/// 2^-n of a power of two 2^n, exactly; n from -126 to 126.
float inverse_of_power(float power) { return uintBitsToFloat((254u << 23) - floatBitsToUint(power)); }

/// The power of two that brings `largest` between 2^14 and 2^15, as far as it can be inverted.
float power_for(float largest) {
  const int exponent = int(floatBitsToUint(largest) >> 23);  // with the bias of 127
  return uintBitsToFloat(uint(min(127 + 14 + 127 - exponent, 253)) << 23);
}
