#pragma once

#include <cstddef>
#include <cstdint>

namespace hearth {

// Block encodings that are found in GGUF files only, byte for byte; devices hold them in others (tensor/recode.h). Each
// block has 256 values but iq4_nl's, which has 32. As in tensor/blocks.h, whose source they share: scales are f16 bits,
// and blocks may lie at any address.

/// 16 parts of 16 values; value = scale * low nibble * q - minimum * high nibble, of the part's byte. Two bits a value:
/// those of part 8 h + 2 s + p are bits 2 s and 2 s + 1 of codes[32 h + 16 p + i].
struct BlockQ2_K {
  uint8_t part_factors[16];
  uint8_t codes[64];
  uint16_t scale;
  uint16_t minimum;
};

/// 16 parts of 16 values; value = scale * (part scale - 32) * (q - 4). The lower two bits lie as q2_k's, the third is
/// bit 4 h + s of third_bits[16 p + i]. Part scales are of six bits: the low nibbles of parts 0 to 7 and 8 to 15 are
/// the low and high nibbles of bytes 0 to 7, the upper two bits of part i are bits 2 (i / 4) of byte 8 + i % 4.
struct BlockQ3_K {
  uint8_t third_bits[32];
  uint8_t codes[64];
  uint8_t part_scales[12];
  uint16_t scale;
};

/// The sixteen values of iq4_nl and iq4_xs.
inline constexpr int8_t kIq4Values[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};

/// value = scale * kIq4Values[q]; nibbles as q4_0's.
struct BlockIq4Nl {
  uint16_t scale;
  uint8_t nibbles[16];
};

/// 8 parts of 32 values, value = scale * (part scale - 32) * kIq4Values[q]: nibbles as q4_0's, part scales of four low
/// bits in the nibbles of low_scales and two high ones in bits 2 part of high_scales.
struct BlockIq4Xs {
  uint16_t scale;
  uint16_t high_scales;
  uint8_t low_scales[4];
  uint8_t nibbles[128];
};

/// Three values, -1, 0 and 1: five of them a byte, as b / 256 is a fraction whose digits to the base of three they are,
/// from values 32, or 16, apart; the last 16 four a byte.
struct BlockTq1_0 {
  uint8_t fives[48];  // 32 bytes for 160 values, 16 for 80
  uint8_t fours[4];
  uint16_t scale;
};

/// The same in two bits: value 128 h + 32 s + i is bits 2 s of codes[32 h + i], less one.
struct BlockTq2_0 {
  uint8_t codes[64];
  uint16_t scale;
};

/// 8 parts of 32 values: four bytes are indices into kGrid2Xxs, four more bytes a number of four times seven bits of
/// signs (sign_bits) and, in its upper four bits s, value = scale * (s + 1/2) / 4 * magnitude.
struct BlockIq2Xxs {
  uint16_t scale;
  uint32_t parts[16];
} __attribute__((packed));

/// Groups of 8: nine bits of index into kGrid2Xs, seven of signs; a nibble s for each two groups as in iq2_xxs.
struct BlockIq2Xs {
  uint16_t scale;
  uint16_t groups[32];
  uint8_t part_scales[8];
};

/// The same with ten bits of index into kGrid2S, the upper two in high_bits, and eight signs.
struct BlockIq2S {
  uint16_t scale;
  uint8_t indices[32];
  uint8_t signs[32];
  uint8_t high_bits[8];
  uint8_t part_scales[8];
};

/// Groups of 4 by an index into kGrid3Xxs; for each 32 values a number as in iq2_xxs, value = scale * (s + 1/2) / 2 *
/// magnitude.
struct BlockIq3Xxs {
  uint16_t scale;
  uint8_t indices[64];
  uint32_t parts[8];
} __attribute__((packed));

/// Groups of 4 by nine bits of index into kGrid3S; value = scale * (1 + 2 s) * magnitude, a nibble s for each 32.
struct BlockIq3S {
  uint16_t scale;
  uint8_t indices[64];
  uint8_t high_bits[8];
  uint8_t signs[32];
  uint8_t part_scales[4];
};

/// Groups of 8 by eleven bits of index into kGrid1, the upper three in `parts`: for each 32 values four times three
/// such bits, three bits s and the sign of delta; value = scale * (2 s + 1) * (g + delta), where delta is 1/8 either
/// way.
struct BlockIq1S {
  uint16_t scale;
  uint8_t indices[32];
  uint16_t parts[8];
};

/// The same with three bits s for each 16 values and a delta for each 8: a nibble of high_bits for each group has three
/// bits of index and the sign of delta. The upper four bits of the four words of part_scales are the scale's.
struct BlockIq1M {
  uint8_t indices[32];
  uint8_t high_bits[16];
  uint16_t part_scales[4];
};

static_assert(sizeof(BlockQ2_K) == 84 && sizeof(BlockQ3_K) == 110 && sizeof(BlockIq4Nl) == 18 &&
              sizeof(BlockIq4Xs) == 136);
static_assert(sizeof(BlockTq1_0) == 54 && sizeof(BlockTq2_0) == 66 && sizeof(BlockIq2Xxs) == 66 &&
              sizeof(BlockIq2Xs) == 74);
static_assert(sizeof(BlockIq2S) == 82 && sizeof(BlockIq3Xxs) == 98 && sizeof(BlockIq3S) == 110 &&
              sizeof(BlockIq1S) == 50 && sizeof(BlockIq1M) == 56);

}  // namespace hearth
