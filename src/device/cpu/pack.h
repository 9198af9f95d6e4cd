#pragma once

#include <cstddef>
#include <optional>
#include <span>

#include "device/cpu/tile.h"
#include "tensor/number_format.h"

namespace hearth::cpu {

/// The encoding that tiles of a file's format take; nothing for formats that no weight has (plain integers).
std::optional<TileEncoding> tile_encoding(NumberFormat format);

/// Rearranges up to 16 rows of `cols` values into one tile. `rows` holds bytes_of(format, cols) for each row; rows that
/// are not given become zero. `tile` has tile_groups() whole groups. The values stay what they are.
void pack_tile(NumberFormat format, std::span<const std::byte> rows, size_t cols, std::byte* tile);

/// Row `row` < 16 of a tile, widened; out.size() is the number of columns.
void unpack_tile_row(TileEncoding encoding, const std::byte* tile, unsigned row, std::span<float> out);

}  // namespace hearth::cpu
