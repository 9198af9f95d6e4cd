#include "formats/codings/scaled_floats.h"

#include <algorithm>
#include <cstring>

#include "base/divide_up.h"
#include "tensor/blocks.h"
#include "tensor/quantize.h"

namespace hearth::codings {
namespace {

constexpr size_t kBlock = GridRow::kBlock;

class Coding final : public TensorCoding {
 public:
  Coding(std::string name, const ScaledFloats& coding, std::vector<StoredPart> parts, std::string description)
      : TensorCoding(std::move(name), coding.rows, coding.columns, std::move(parts), std::move(description)),
        coding_(coding) {}

 private:
  std::string_view read_row(std::span<const PartBytes> bytes, uint64_t index, GridRow& row) const override {
    read_codes(bytes[0], index, row.values);
    static thread_local std::vector<float> scales;
    scales.resize(divide_up(columns(), coding_.block_columns));
    const size_t at = (index / coding_.block_rows - bytes[1].first_unit) * parts()[1].unit_bytes;
    dequantize_row(parts()[1].format, bytes[1].bytes.subspan(at, parts()[1].unit_bytes), scales);
    if (coding_.global != ScaledFloats::Global::none) apply_global(bytes[2], scales);
    for (uint64_t c = 0, b = 0; c < columns(); ++b) {
      for (const uint64_t end = std::min(c + coding_.block_columns, columns()); c < end; ++c) {
        row.values[c] *= scales[b];
      }
    }
    return {};
  }

  /// mxfp4's blocks have the same codes in another order. An exponent that is no number is left to read_row.
  bool copy_row(std::span<const PartBytes> bytes, uint64_t index, NumberFormat format,
                std::span<std::byte> out) const override {
    if (format != NumberFormat::mxfp4) return false;
    const size_t blocks = columns() / kBlock;
    const auto codes = bytes[0].bytes.subspan((index - bytes[0].first_unit) * blocks * 16, blocks * 16);
    const auto exponents = bytes[1].bytes.subspan((index - bytes[1].first_unit) * blocks, blocks);
    if (std::ranges::find(exponents, std::byte{255}) != exponents.end()) return false;
    for (size_t b = 0; b < blocks; ++b) {
      BlockMxfp4 block{.exponent = std::to_integer<uint8_t>(exponents[b]), .nibbles = {}};
      for (size_t i = 0; i < 8; ++i) {
        const auto low = std::to_integer<unsigned>(codes[16 * b + i]),
                   high = std::to_integer<unsigned>(codes[16 * b + 8 + i]);
        block.nibbles[2 * i] = static_cast<uint8_t>((low & 15) | (high & 15) << 4);
        block.nibbles[2 * i + 1] = static_cast<uint8_t>(low >> 4 | (high & 0xf0));
      }
      std::memcpy(out.data() + b * sizeof(block), &block, sizeof(block));
    }
    return true;
  }

  void read_codes(const PartBytes& part, uint64_t index, std::span<float> values) const {
    const size_t row_bytes = parts()[0].unit_bytes;
    const auto codes = part.bytes.subspan((index - part.first_unit) * row_bytes, row_bytes);
    if (!coding_.is_e2m1) return dequantize_row(parts()[0].format, codes, values);
    for (uint64_t c = 0; c < columns(); ++c) {
      const auto nibble = std::to_integer<unsigned>(codes[c / 2]) >> (4 * (c % 2)) & 15U;
      values[c] = 0.5F * static_cast<float>(kDoubledE2m1[nibble]);
    }
  }

  void apply_global(const PartBytes& part, std::span<float> scales) const {
    float global = 0;
    std::memcpy(&global, part.bytes.data(), sizeof(global));
    for (float& scale : scales) {
      scale = coding_.global == ScaledFloats::Global::divides ? scale / global : scale * global;
    }
  }

  const ScaledFloats coding_;
};

}  // namespace

std::unique_ptr<TensorCoding> make_scaled_floats(std::string name, const ScaledFloats& coding,
                                                 std::vector<StoredPart> parts, std::string description) {
  parts[0].values = coding.columns;
  parts[0].unit_bytes = parts[0].bytes / coding.rows;
  parts[1].values = std::min(coding.block_rows, coding.rows) * coding.columns;
  parts[1].unit_bytes = divide_up(coding.columns, coding.block_columns) * traits(parts[1].format).block_bytes;
  if (parts.size() > 2) {
    parts[2].values = coding.rows * coding.columns;
    parts[2].unit_bytes = parts[2].bytes;
  }
  return std::make_unique<Coding>(std::move(name), coding, std::move(parts), std::move(description));
}

NumberFormat held_format(const ScaledFloats& coding, NumberFormat scales, bool is_vector) {
  if (is_vector || coding.columns % kBlock != 0) return NumberFormat::f32;
  const bool is_mxfp4 = coding.is_e2m1 && coding.block_columns == kBlock && coding.block_rows == 1 &&
                        (scales == NumberFormat::f8_e8m0 || scales == NumberFormat::u8);
  return is_mxfp4 ? NumberFormat::mxfp4 : NumberFormat::q8_0;
}

}  // namespace hearth::codings
