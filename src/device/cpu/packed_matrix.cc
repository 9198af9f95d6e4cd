#include "device/cpu/packed_matrix.h"

#include <fmt/format.h>

#include <algorithm>

#include "device/cpu/pack.h"
#include "tensor/finite.h"

namespace hearth::cpu {

Result<PackedMatrix> PackedMatrix::lay_out(const MatrixSpec& spec) {
  PackedMatrix matrix;
  matrix.cols_ = spec.cols;
  for (const MatrixPart& part : spec.parts) {
    const auto encoding = tile_encoding(part.format);
    const FormatTraits& format = traits(part.format);
    if (!encoding) {
      return fail(ErrorCode::unsupported,
                  fmt::format("{}: the CPU has no matrix product for {}", part.name, format.name));
    }
    if (spec.cols == 0 || spec.cols % format.block_values != 0) {
      return fail(ErrorCode::unsupported, fmt::format("{}: {} columns are not whole blocks of {} ({} values)",
                                                      part.name, spec.cols, format.name, format.block_values));
    }
    const TileLayout layout = tile_layout(*encoding);
    PackedPart packed{.name = part.name,
                      .format = part.format,
                      .encoding = *encoding,
                      .first_row = matrix.rows_,
                      .rows = part.rows,
                      .groups = tile_groups(layout, spec.cols),
                      .tile_bytes = tile_groups(layout, spec.cols) * layout.group_bytes(),
                      .tiles = nullptr};
    matrix.rows_ += part.rows;
    matrix.parts_.push_back(std::move(packed));
  }
  return matrix;
}

Result<PackedMatrix> PackedMatrix::create(const MatrixSpec& spec, Arena& arena) {
  auto matrix = lay_out(spec);
  if (!matrix) return matrix;
  for (PackedPart& part : matrix->parts_) {
    auto tiles = arena.allocate(part.tile_count() * part.tile_bytes, part.name);
    if (!tiles) return pass_on(tiles);
    part.tiles = *tiles;
  }
  return matrix;
}

uint64_t PackedMatrix::bytes() const {
  uint64_t sum = 0;
  for (const PackedPart& part : parts_) sum += part.tile_count() * part.tile_bytes;
  return sum;
}

Result<void> PackedMatrix::write_rows(uint32_t part, uint32_t first_row, std::span<const std::byte> rows_bytes) {
  if (part >= parts_.size()) return fail(ErrorCode::internal, fmt::format("a matrix has no part {}", part));
  const PackedPart& to = parts_[part];
  const size_t row_bytes = bytes_of(to.format, cols_);
  const size_t count = rows_bytes.size() / row_bytes;
  const bool whole_tiles = first_row % kTileRows == 0 && (count % kTileRows == 0 || first_row + count == to.rows);
  if (rows_bytes.size() % row_bytes != 0 || first_row + count > to.rows || !whole_tiles) {
    return fail(ErrorCode::internal, fmt::format("{}: {} bytes from row {} on are not whole tiles of its {} rows",
                                                 to.name, rows_bytes.size(), first_row, to.rows));
  }
  if (const auto block = find_non_finite(to.format, rows_bytes)) {
    const size_t row = first_row + *block / (cols_ / traits(to.format).block_values);
    return fail(ErrorCode::corrupt, fmt::format("{}: row {} has a weight that is not finite", to.name, row),
                "download the model again");
  }
  for (size_t row = 0; row < count; row += kTileRows) {
    const size_t tile_rows = std::min<size_t>(kTileRows, count - row);
    pack_tile(to.format, rows_bytes.subspan(row * row_bytes, tile_rows * row_bytes), cols_,
              to.tiles + (first_row + row) / kTileRows * to.tile_bytes);
  }
  return {};
}

void PackedMatrix::read_row(uint32_t row, std::span<float> out) const {
  const auto part = std::ranges::find_if(parts_, [&](const PackedPart& p) { return row < p.first_row + p.rows; });
  const uint32_t in_part = row - part->first_row;
  unpack_tile_row(part->encoding, part->tile(in_part / kTileRows), in_part % kTileRows, out);
}

}  // namespace hearth::cpu
