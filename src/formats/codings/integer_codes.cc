#include "formats/codings/integer_codes.h"

#include <cstring>

#include "base/divide_up.h"

namespace hearth::codings {
namespace {

uint32_t word_at(std::span<const std::byte> bytes, uint64_t index) {
  uint32_t word;
  std::memcpy(&word, bytes.data() + 4 * index, sizeof(word));
  return word;
}

/// Integer `index` of a stream of bits whose words lie `stride` apart, the first of them at `first`.
int16_t from_stream(std::span<const std::byte> bytes, uint64_t first, uint64_t stride, uint64_t index, uint32_t bits) {
  const uint64_t bit = index * bits;
  uint64_t word = word_at(bytes, first + bit / 32 * stride);
  if (bit % 32 + bits > 32) word |= uint64_t{word_at(bytes, first + (bit / 32 + 1) * stride)} << 32;
  return static_cast<int16_t>(word >> (bit % 32) & ((1U << bits) - 1));
}

}  // namespace

uint64_t IntegerMatrix::bytes() const {
  const uint64_t in_word = 32 / bits;
  switch (layout) {
    case IntegerLayout::signed_bytes:
    case IntegerLayout::unsigned_bytes:
      return rows * columns;
    case IntegerLayout::row_words:
      return 4 * rows * divide_up(columns, in_word);
    case IntegerLayout::column_stream:
      return 4 * divide_up(columns * bits, 32) * rows;
    case IntegerLayout::row_stream:
    case IntegerLayout::row_stream_minus_one:
    case IntegerLayout::awq_words:
      return 4 * columns * divide_up(rows * bits, 32);
    case IntegerLayout::tall_words:
      return 4 * divide_up(rows, in_word) * columns;
    case IntegerLayout::signed_nibbles:
      return rows * divide_up(columns, 2);
  }
  return 0;
}

bool IntegerMatrix::is_by_rows() const {
  return layout == IntegerLayout::signed_bytes || layout == IntegerLayout::unsigned_bytes ||
         layout == IntegerLayout::row_words || layout == IntegerLayout::signed_nibbles;
}

void IntegerMatrix::read_row(const PartBytes& part, uint64_t row, std::span<int16_t> out) const {
  const std::span<const std::byte> bytes = part.bytes;
  const uint64_t here = row - part.first_unit;  // where rows lie one behind the other
  switch (layout) {
    case IntegerLayout::signed_bytes:
      for (uint64_t c = 0; c < columns; ++c) out[c] = std::to_integer<int8_t>(bytes[here * columns + c]);
      return;
    case IntegerLayout::unsigned_bytes:
      for (uint64_t c = 0; c < columns; ++c) out[c] = std::to_integer<uint8_t>(bytes[here * columns + c]);
      return;
    case IntegerLayout::row_words: {
      const uint64_t in_word = 32 / bits, words = divide_up(columns, in_word);
      const uint32_t mask = (1U << bits) - 1;
      for (uint64_t c = 0; c < columns; ++c) {
        const uint32_t word = word_at(bytes, here * words + c / in_word);
        out[c] = static_cast<int16_t>(word >> (c % in_word * bits) & mask);
      }
      return;
    }
    case IntegerLayout::signed_nibbles:
      for (uint64_t c = 0; c < columns; ++c) {
        const auto pair = std::to_integer<unsigned>(bytes[here * divide_up(columns, 2) + c / 2]);
        out[c] = static_cast<int16_t>(static_cast<int>((pair >> (4 * (c % 2)) & 15) ^ 8U) - 8);
      }
      return;
    case IntegerLayout::column_stream:
      for (uint64_t c = 0; c < columns; ++c) out[c] = from_stream(bytes, row, rows, c, bits);
      return;
    case IntegerLayout::row_stream: {
      const uint64_t words = divide_up(rows * bits, 32);
      for (uint64_t c = 0; c < columns; ++c) out[c] = from_stream(bytes, c * words, 1, row, bits);
      return;
    }
    case IntegerLayout::row_stream_minus_one: {
      const uint64_t words = divide_up(rows * bits, 32);
      const uint32_t mask = (1U << bits) - 1;
      if (32 % bits != 0) {
        for (uint64_t c = 0; c < columns; ++c) {
          out[c] = static_cast<int16_t>((from_stream(bytes, c * words, 1, row, bits) + 1) & static_cast<int>(mask));
        }
        return;
      }
      const uint32_t ones = 0xffffffffU / mask, shift = static_cast<uint32_t>(row * bits % 32);
      for (uint64_t c = 0; c < columns; ++c) {
        out[c] = static_cast<int16_t>((word_at(bytes, c * words + row * bits / 32) + ones) >> shift & mask);
      }
      return;
    }
    case IntegerLayout::awq_words: {
      constexpr uint32_t kNibbleOf[8] = {0, 4, 1, 5, 2, 6, 3, 7};
      const uint64_t words = rows / 8;
      const uint32_t shift = 4 * kNibbleOf[row % 8];
      for (uint64_t c = 0; c < columns; ++c) {
        out[c] = static_cast<int16_t>(word_at(bytes, c * words + row / 8) >> shift & 15);
      }
      return;
    }
    case IntegerLayout::tall_words: {
      const uint64_t in_word = 32 / bits;
      const uint32_t shift = static_cast<uint32_t>(row % in_word) * bits, mask = (1U << bits) - 1;
      for (uint64_t c = 0; c < columns; ++c) {
        out[c] = static_cast<int16_t>(word_at(bytes, row / in_word * columns + c) >> shift & mask);
      }
      return;
    }
  }
}

}  // namespace hearth::codings
