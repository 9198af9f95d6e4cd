#include "device/reference/reference_storage.h"

#include "tensor/quantize.h"

namespace hearth::reference {

Matrix::Matrix(const MatrixSpec& spec) : spec_(spec) {
  for (const MatrixPart& part : spec_.parts) {
    rows_ += part.rows;
    parts_.emplace_back(bytes_of(part.format, static_cast<size_t>(part.rows) * spec_.cols));
  }
}

uint64_t Matrix::bytes() const {
  uint64_t sum = 0;
  for (const auto& part : parts_) sum += part.size();
  return sum;
}

uint64_t Matrix::row_bytes(uint32_t part) const { return bytes_of(spec_.parts[part].format, spec_.cols); }

std::byte* Matrix::part_row(uint32_t part, uint32_t row) { return parts_[part].data() + row * row_bytes(part); }

void Matrix::read_row(uint32_t row, std::span<float> out) const {
  uint32_t part = 0;
  while (row >= spec_.parts[part].rows) row -= spec_.parts[part++].rows;
  const std::byte* bytes = parts_[part].data() + row * row_bytes(part);
  dequantize_row(spec_.parts[part].format, {bytes, row_bytes(part)}, out);
}

Cache::Cache(const CacheSpec& spec) : spec_(spec) {
  for (const CacheLayerSpec& layer : spec_.layers) {
    layers_.emplace_back(spec_.blocks_per_group[layer.group] * cache_block_bytes(layer, sizeof(float)) / sizeof(float));
  }
}

std::span<float> Cache::at(uint32_t layer, uint64_t slot, uint32_t which) {
  const auto& kv = std::get<KeysAndValues>(spec_.layers[layer].kind);
  const uint64_t width = uint64_t{kv.kv_heads} * kv.head_dim;
  return {layers_[layer].data() + (slot * 2 + which) * width, width};
}

std::span<float> Cache::rows(uint32_t layer, uint64_t slot) {
  const uint64_t width = std::get<LatentRows>(spec_.layers[layer].kind).width;
  return {layers_[layer].data() + slot * width, width};
}

std::span<float> Cache::state(uint32_t layer, uint32_t block) {
  const uint64_t values = std::get<State>(spec_.layers[layer].kind).values;
  return {layers_[layer].data() + block * values, values};
}

}  // namespace hearth::reference
