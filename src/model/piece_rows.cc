#include "model/piece_rows.h"

#include <algorithm>
#include <cstring>
#include <utility>

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

Result<std::vector<std::byte>> decode(const TensorInfo& tensor, const CodedRows& rows, Bytes bytes) {
  std::vector<std::byte> decoded(bytes_of(tensor.format, rows.count * tensor.coding->columns()));
  if (auto done = tensor.coding->decode(rows, bytes, tensor.format, decoded); !done) return pass_on(done);
  return decoded;
}

}  // namespace

uint32_t rows_at_once(const WeightPiece& piece) {
  constexpr uint32_t kRows = 4 * Device::kRowGranularity;
  const TensorCoding* coding = piece.source->tensor.coding.get();
  const bool is_in_parts = coding != nullptr && coding->reads_all() && !piece.source->transposed;
  return is_in_parts ? std::min(kRows, piece.rows) : piece.rows;
}

Result<Bytes> rows_of(const WeightPiece& piece, uint32_t first, uint32_t count, Bytes bytes,
                      std::vector<std::byte>& scratch) {
  const WeightPlan::Source& source = *piece.source;
  Bytes rows = bytes;
  if (source.tensor.coding != nullptr) {
    CodedRows of_tensor = piece.tensor_rows();
    of_tensor.first += uint64_t{first} * of_tensor.step;
    of_tensor.count = count;
    auto decoded = decode(source.tensor, of_tensor, bytes);
    if (!decoded) return pass_on(decoded);
    rows = scratch = std::move(*decoded);
  } else if (source.row_step > 1) {
    rows = scratch = keep_every(source.row_step, piece.rows, rows);
  }
  if (source.transposed) return scratch = transpose(source, rows);
  if (held_as(source.tensor.format) != source.tensor.format) rows = scratch = recode(source.tensor.format, rows);
  return rows;
}

}  // namespace hearth
