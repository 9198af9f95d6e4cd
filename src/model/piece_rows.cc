#include "model/piece_rows.h"

#include <cstring>

#include "tensor/blocks.h"
#include "tensor/quantize.h"
#include "tensor/recode.h"

namespace hearth {
namespace {

using Bytes = std::span<const std::byte>;

/// Rows of a source as a matrix whose rows are their columns, in the format that WeightPlan gives such a part.
std::vector<std::byte> transpose(const WeightPlan::Source& source, Bytes bytes) {
  const WeightPlan::Columns& columns = *source.transposed;
  const NumberFormat from = source.tensor.format;
  const NumberFormat to = traits(from).block_values == 1 ? from : NumberFormat::f16;
  const size_t rows = source.rows, row_bytes = bytes.size() / rows;
  std::vector<float> row(static_cast<size_t>(source.tensor.shape.back())), values(rows * columns.count);
  for (size_t r = 0; r < rows; ++r) {
    dequantize_row(from, bytes.subspan(r * row_bytes, row_bytes), row);
    for (size_t c = 0; c < columns.count; ++c) values[c * rows + r] = row[columns.first + c * columns.step];
  }
  std::vector<std::byte> transposed(bytes_of(to, values.size()));
  quantize_row(to, values, transposed);
  return transposed;
}

/// Each `step`th of the rows, one behind the other.
std::vector<std::byte> keep_every(uint32_t step, uint32_t kept, Bytes rows) {
  const size_t row_bytes = rows.size() / ((kept - 1) * size_t{step} + 1);
  std::vector<std::byte> result(kept * row_bytes);
  for (size_t row = 0; row < kept; ++row) {
    std::memcpy(result.data() + row * row_bytes, rows.data() + row * step * row_bytes, row_bytes);
  }
  return result;
}

std::vector<std::byte> recode(NumberFormat format, Bytes rows) {
  const size_t values = rows.size() / traits(format).block_bytes * traits(format).block_values;
  std::vector<std::byte> recoded(bytes_of(held_as(format), values));
  recode_row(format, rows, recoded);
  return recoded;
}

/// mxfp4's blocks of their codes, of which neighbours share a byte, and their exponents.
std::vector<std::byte> join_codes(Bytes codes, Bytes exponents) {
  std::vector<std::byte> blocks(exponents.size() * sizeof(BlockMxfp4));
  for (size_t i = 0; i < exponents.size(); ++i) {
    BlockMxfp4 block{.exponent = std::to_integer<uint8_t>(exponents[i]), .nibbles = {}};
    for (size_t value = 0; value < 32; ++value) {
      const auto code = std::to_integer<unsigned>(codes[16 * i + value / 2]) >> (4 * (value % 2)) & 15U;
      block.nibbles[value % 16] |= static_cast<uint8_t>(code << (4 * (value / 16)));
    }
    std::memcpy(blocks.data() + i * sizeof(block), &block, sizeof(block));
  }
  return blocks;
}

}  // namespace

Bytes rows_of(const WeightPiece& piece, Bytes bytes, std::vector<std::byte>& scratch) {
  const WeightPlan::Source& source = *piece.source;
  Bytes rows = bytes.first(piece.tensor_bytes), exponents = bytes.subspan(piece.tensor_bytes);
  std::vector<std::byte> kept_exponents;
  if (source.row_step > 1) {
    scratch = keep_every(source.row_step, piece.rows, rows);
    rows = scratch;
    if (source.exponents) exponents = kept_exponents = keep_every(source.row_step, piece.rows, exponents);
  }
  if (source.exponents) rows = scratch = join_codes(rows, exponents);
  if (source.transposed) return scratch = transpose(source, rows);
  if (held_as(source.tensor.format) != source.tensor.format) rows = scratch = recode(source.tensor.format, rows);
  return rows;
}

}  // namespace hearth
