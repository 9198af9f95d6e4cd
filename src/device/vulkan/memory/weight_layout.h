#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "device/vulkan/memory/decoded_range.h"
#include "tensor/number_format.h"

namespace hearth::vulkan {

/// The shaders' encoding of a format (shaders/layout.h), or nothing where weights must be converted first.
std::optional<uint32_t> encoding_of(NumberFormat format);

/// Whether activations are multiplied as bytes with this encoding (else as float32).
bool uses_quantized_activations(uint32_t encoding);

/// Whether cooperative matrices of f16 multiply activations with this encoding as sums of two halves.
bool uses_split_activations(uint32_t encoding);

/// Where the planes of `rows` rows of `cols` values lie in their slice, in bytes; shaders/layout.h gives their meaning.
struct WeightLayout {
  uint32_t encoding = 0;
  uint32_t rows = 0;
  uint32_t cols = 0;
  uint32_t padded_rows = 0;
  uint64_t extra_offset = 0;
  uint64_t scales_offset = 0;
  uint64_t minimums_offset = 0;  ///< q4_1 and q5_1: minimums; q6_k: scales of superblocks
  uint64_t bytes = 0;
  BlockRange range;       ///< of what was written (decoded_range.h)
  bool decodable = true;  ///< blocks whose values stay within f16's range

  uint32_t blocks() const { return cols / 32; }
};

WeightLayout layout_weights(uint32_t encoding, uint32_t rows, uint32_t cols);

/// A piece of a plane.
struct Plane {
  uint64_t offset = 0;  ///< in the slice
  std::vector<std::byte> bytes;
};

/// GGUF rows [first_row, ...) of `format` (whose encoding is the layout's) as pieces of the planes. `first_row` is a
/// multiple of 4; scales of a last incomplete group of four rows are padded with zeros.
std::vector<Plane> pack_rows(const WeightLayout& layout, NumberFormat format, uint32_t first_row,
                             std::span<const std::byte> rows_bytes);

}  // namespace hearth::vulkan
