#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "device/device.h"

namespace hearth::reference {

/// A weight matrix in its files' own formats; rows are widened to float32 as they are used.
class Matrix {
 public:
  explicit Matrix(const MatrixSpec& spec);

  uint32_t rows() const { return rows_; }
  uint32_t cols() const { return spec_.cols; }
  const MatrixSpec& spec() const { return spec_; }
  uint64_t bytes() const;
  uint64_t row_bytes(uint32_t part) const;

  /// Where row `row` of part `part` begins.
  std::byte* part_row(uint32_t part, uint32_t row);

  /// Writes row `row` of the stacked matrix to `out` [cols].
  void read_row(uint32_t row, std::span<float> out) const;

 private:
  MatrixSpec spec_;
  uint32_t rows_ = 0;
  std::vector<std::vector<std::byte>> parts_;
};

/// What layers remember, in float32: for each layer [blocks, kBlockTokens, 2 (K, V), kv_heads, head_dim], latent rows
/// [blocks, kBlockTokens, width], or states [blocks, values].
class Cache {
 public:
  explicit Cache(const CacheSpec& spec);

  uint32_t layer_count() const { return static_cast<uint32_t>(layers_.size()); }
  uint32_t group(uint32_t layer) const { return spec_.layers[layer].group; }
  uint32_t block_count(uint32_t layer) const { return spec_.blocks_per_group[group(layer)]; }

  /// The heads [kv_heads, head_dim] of K or V at a slot = block * kBlockTokens + offset.
  std::span<float> keys(uint32_t layer, uint64_t slot) { return at(layer, slot, 0); }
  std::span<float> values(uint32_t layer, uint64_t slot) { return at(layer, slot, 1); }
  std::span<float> rows(uint32_t layer, uint64_t slot);
  std::span<float> state(uint32_t layer, uint32_t block);

 private:
  std::span<float> at(uint32_t layer, uint64_t slot, uint32_t which);

  CacheSpec spec_;
  std::vector<std::vector<float>> layers_;
};

/// Everything a reference device holds; programs read it.
struct Storage {
  std::vector<Matrix> matrices;
  std::vector<std::vector<float>> vectors;
  Cache cache{CacheSpec{}};
};

}  // namespace hearth::reference
