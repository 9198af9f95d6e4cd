#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "formats/tensor_coding.h"

namespace hearth::codings {

/// How integers of a matrix [rows, columns] lie in a stored tensor.
enum class IntegerLayout {
  signed_bytes,    ///< I8 [rows, columns]
  unsigned_bytes,  ///< U8 [rows, columns]
  row_words,       ///< I32 [rows, words]: 32 / bits integers of a row in a word, the first in the lowest bits
  column_stream,   ///< I32 [columns * bits / 32, rows]: a column of words is a stream of bits along the row (GPTQ)
  row_stream,  ///< I32 [columns, rows * bits / 32]: a row of words is a stream of bits along the rows (GPTQ's zeros)
  row_stream_minus_one,  ///< as row_stream, but what was stored is one less, of whole words but for 3 bits (GPTQModel)
  awq_words,       ///< as row_stream with 4 bits, and outputs 0 2 4 6 1 3 5 7 in the nibbles of a word, lowest first
  tall_words,      ///< I32 [rows * bits / 32, columns]: 32 / bits rows share a row of words
  signed_nibbles,  ///< [rows, columns / 2]: two integers of a row in a byte, the first in the lower half, of -8 to 7
};

struct IntegerMatrix {
  IntegerLayout layout = IntegerLayout::signed_bytes;
  uint32_t bits = 8;
  uint64_t rows = 0, columns = 0;

  /// Whether rows lie one behind the other.
  bool is_by_rows() const;
  /// Bytes of the whole stored tensor.
  uint64_t bytes() const;

  /// One row's integers, as they are stored. Units of `part` are rows, or all of it.
  void read_row(const PartBytes& part, uint64_t row, std::span<int16_t> out) const;
};

}  // namespace hearth::codings
