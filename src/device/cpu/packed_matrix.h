#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "device/cpu/memory.h"
#include "device/cpu/tile.h"
#include "device/device.h"

namespace hearth::cpu {

/// Rows of one format in tiles of 16, one after the other.
struct PackedPart {
  std::string name;
  NumberFormat format;
  TileEncoding encoding;
  uint32_t first_row;  ///< in the matrix
  uint32_t rows;
  size_t groups;      ///< of a tile
  size_t tile_bytes;  ///< a multiple of 32
  std::byte* tiles;   ///< owned by the arena

  uint32_t tile_count() const { return (rows + kTileRows - 1) / kTileRows; }
  const std::byte* tile(uint32_t index) const { return tiles + index * tile_bytes; }
};

/// A weight matrix as the kernels read it.
class PackedMatrix {
 public:
  /// Reserves the memory. Errors: unsupported, out_of_memory.
  static Result<PackedMatrix> create(const MatrixSpec& spec, Arena& arena);

  /// The same without memory, only to tell bytes().
  static Result<PackedMatrix> lay_out(const MatrixSpec& spec);

  uint32_t rows() const { return rows_; }
  uint32_t cols() const { return cols_; }
  uint64_t bytes() const;
  const std::vector<PackedPart>& parts() const { return parts_; }

  /// Whether its products may be left to an offload, which multiplies values, not panels (product_offload.h).
  bool may_be_offloaded() const { return may_be_offloaded_; }
  void let_be_offloaded() { may_be_offloaded_ = true; }

  /// As Device::write_rows. Errors: corrupt, internal (rows that are not there).
  Result<void> write_rows(uint32_t part, uint32_t first_row, std::span<const std::byte> rows_bytes);

  /// Row `row`, widened to out [cols].
  void read_row(uint32_t row, std::span<float> out) const;

 private:
  std::vector<PackedPart> parts_;
  uint32_t rows_ = 0;
  uint32_t cols_ = 0;
  bool may_be_offloaded_ = false;
};

}  // namespace hearth::cpu
