#include "formats/codings/scaled_integers.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/divide_up.h"
#include "tensor/blocks.h"
#include "tensor/quantize.h"
#include "tensor/scale_search.h"

namespace hearth::codings {
namespace {

constexpr size_t kBlock = GridRow::kBlock;

/// Whether 32 columns from a multiple of 32 on always share a scale.
bool has_whole_blocks(const ScaledIntegers& coding) {
  if (coding.column_groups == ScaledIntegers::ColumnGroups::any || coding.codes.columns % kBlock != 0) return false;
  return coding.group % kBlock == 0 || (coding.group >= coding.codes.columns && !coding.is_flattened);
}

/// Whole blocks of one scale; false where an integer does not fit.
bool copy_q4_0(std::span<const int16_t> codes, float scale, int16_t zero, std::span<std::byte> out) {
  BlockQ4_0 block{.scale = scale_to_f16(scale), .nibbles = {}};
  int outside = 0;
  for (size_t b = 0; b < codes.size() / kBlock; ++b) {
    const auto from = codes.subspan(b * kBlock).first<kBlock>();
    for (size_t i = 0; i < kBlock / 2; ++i) {
      const int low = from[i] - zero + 8, high = from[i + kBlock / 2] - zero + 8;
      outside |= low | high;
      block.nibbles[i] = static_cast<uint8_t>(low | high << 4);
    }
    std::memcpy(out.data() + b * sizeof(block), &block, sizeof(block));
  }
  return (outside & ~15) == 0;
}

bool copy_q8_0(std::span<const int16_t> codes, float scale, int16_t zero, std::span<std::byte> out) {
  BlockQ8_0 block{.scale = scale_to_f16(scale), .values = {}};
  int outside = 0;
  for (size_t b = 0; b < codes.size() / kBlock; ++b) {
    const auto from = codes.subspan(b * kBlock).first<kBlock>();
    for (size_t i = 0; i < kBlock; ++i) {
      const int value = from[i] - zero;
      outside |= static_cast<int>(value < -127) | static_cast<int>(value > 127);
      block.values[i] = static_cast<int8_t>(value);
    }
    std::memcpy(out.data() + b * sizeof(block), &block, sizeof(block));
  }
  return outside == 0;
}

class Coding final : public TensorCoding {
 public:
  Coding(std::string name, const ScaledIntegers& coding, std::vector<StoredPart> parts, std::string description)
      : TensorCoding(std::move(name), coding.codes.rows, coding.codes.columns, std::move(parts),
                     std::move(description)),
        coding_(coding),
        groups_(divide_up(columns(), coding.group)) {}

 private:
  /// What one thread needs for a row.
  struct Scratch {
    std::vector<int16_t> codes, zero_codes;
    std::vector<float> scales, zeros, offsets;
    std::vector<int32_t> group_of_column;
  };

  std::string_view read_row(std::span<const PartBytes> bytes, uint64_t index, GridRow& row) const override {
    Scratch& scratch = read(bytes, index);
    if (const auto problem = problem_with(scratch); !problem.empty()) return problem;
    if (coding_.column_groups == ScaledIntegers::ColumnGroups::any) return fill_columns(scratch, row);
    for_each_group(index, [&](uint64_t begin, uint64_t end, size_t group) { fill(begin, end, group, scratch, row); });
    return {};
  }

  /// The integers go from one encoding into the other, without numbers between; what does not fit is left to read_row.
  bool copy_row(std::span<const PartBytes> bytes, uint64_t index, NumberFormat format,
                std::span<std::byte> out) const override {
    const bool has_blocks = coding_.zeros != ScaledIntegers::Zeros::offsets && has_whole_blocks(coding_);
    if (!has_blocks || (format != NumberFormat::q4_0 && format != NumberFormat::q8_0)) return false;
    const Scratch& scratch = read(bytes, index);
    if (!problem_with(scratch).empty()) return false;
    bool fits = true;
    for_each_group(index, [&](uint64_t begin, uint64_t end, size_t group) {
      const float scale = scratch.scales[group], zero = scratch.zeros[group];
      fits &= std::isfinite(scale) && zero == std::nearbyint(zero) && std::abs(zero) < 256;
      if (!fits) return;
      const auto codes = std::span<const int16_t>(scratch.codes).subspan(begin, end - begin);
      if (format == NumberFormat::q4_0) {
        fits &= copy_q4_0(codes, scale, static_cast<int16_t>(zero), out.subspan(begin / kBlock * sizeof(BlockQ4_0)));
      } else {
        fits &= copy_q8_0(codes, scale, static_cast<int16_t>(zero), out.subspan(begin / kBlock * sizeof(BlockQ8_0)));
      }
    });
    return fits;
  }

  /// All that the row's values are made of.
  Scratch& read(std::span<const PartBytes> bytes, uint64_t index) const {
    static thread_local Scratch scratch;
    scratch.codes.resize(columns());
    coding_.codes.read_row(bytes[0], index, scratch.codes);
    read_scales(bytes[1], index, scratch.scales);
    if (coding_.zeros == ScaledIntegers::Zeros::offsets) {
      read_scales(bytes[2], index, scratch.offsets);
    } else {
      scratch.offsets.assign(scratch.scales.size(), 0);
    }
    read_zeros(bytes, index, scratch);
    if (coding_.column_groups != ScaledIntegers::ColumnGroups::in_order) {
      scratch.group_of_column.resize(columns());
      std::memcpy(scratch.group_of_column.data(), bytes.back().bytes.data(), columns() * sizeof(int32_t));
    }
    return scratch;
  }

  std::string_view problem_with(const Scratch& scratch) const {
    if (!are_in_range(scratch.codes)) return "a code that its bits cannot have";
    const auto& zeros = scratch.zeros;
    if (coding_.only_zero && std::ranges::any_of(zeros, [&](float zero) { return zero != *coding_.only_zero; })) {
      return "a zero point, but its configuration says that it is symmetric";
    }
    if (coding_.column_groups == ScaledIntegers::ColumnGroups::checked && !is_in_order(scratch.group_of_column)) {
      return "columns that are not in the order of their groups, as its configuration says";
    }
    return {};
  }

  bool are_in_range(std::span<const int16_t> codes) const {
    const auto lowest = static_cast<int16_t>(coding_.lowest_code), highest = static_cast<int16_t>(coding_.highest_code);
    int16_t outside = 0;
    for (const int16_t code : codes) outside |= static_cast<int16_t>((code < lowest) | (code > highest));
    return outside == 0;
  }

  /// Scales (or offsets) that the row has, in the order of its groups.
  void read_scales(const PartBytes& part, uint64_t index, std::vector<float>& scales) const {
    const NumberFormat format = parts()[1].format;
    const size_t size = traits(format).block_bytes;
    switch (coding_.scale_order) {
      case ScaledIntegers::ScaleOrder::one:
        scales.resize(1);
        break;
      case ScaledIntegers::ScaleOrder::by_rows:
        scales.resize(coding_.is_flattened ? last_group(index) - first_group(index) + 1 : groups_);
        break;
      case ScaledIntegers::ScaleOrder::by_groups:
        scales.resize(groups_);
        for (size_t g = 0; g < groups_; ++g) {
          dequantize_row(format, part.bytes.subspan((g * rows() + index) * size, size), std::span(&scales[g], 1));
        }
        return;
    }
    const uint64_t unit = coding_.scale_order == ScaledIntegers::ScaleOrder::one ? 0
                          : coding_.is_flattened                                 ? first_group(index)
                                                                                 : index;
    const size_t at = (unit - part.first_unit) * parts()[1].unit_bytes;
    dequantize_row(format, part.bytes.subspan(at, scales.size() * size), scales);
  }

  void read_zeros(std::span<const PartBytes> bytes, uint64_t index, Scratch& scratch) const {
    std::vector<float>& zeros = scratch.zeros;
    zeros.assign(scratch.scales.size(), coding_.zero);
    if (coding_.zeros == ScaledIntegers::Zeros::behind_scale) {
      float number = 0;
      std::memcpy(&number, bytes[1].bytes.data() + sizeof(float), sizeof(float));
      zeros[0] += number;
    }
    if (coding_.zeros == ScaledIntegers::Zeros::integers) {
      scratch.zero_codes.resize(zeros.size());
      coding_.zero_codes.read_row(bytes[2], index, scratch.zero_codes);
      for (size_t g = 0; g < zeros.size(); ++g) zeros[g] += static_cast<float>(scratch.zero_codes[g]);
    }
  }

  uint64_t first_group(uint64_t row) const { return row * columns() / coding_.group; }
  uint64_t last_group(uint64_t row) const { return ((row + 1) * columns() - 1) / coding_.group; }

  /// use(first column, end, index of its scale) for each group of a row.
  template <class Use>
  void for_each_group(uint64_t index, Use use) const {
    const uint64_t group = coding_.group;
    const uint64_t before =
        coding_.is_flattened ? index * columns() % group : 0;  // of the first one, in the row before
    const bool has_one = coding_.scale_order == ScaledIntegers::ScaleOrder::one;
    for (uint64_t begin = 0, g = 0; begin < columns(); ++g) {
      const uint64_t end = std::min((g + 1) * group - before, columns());
      use(begin, end, has_one ? 0 : g);
      begin = end;
    }
  }

  void fill(uint64_t begin, uint64_t end, size_t group, const Scratch& scratch, GridRow& row) const {
    const float scale = scratch.scales[group], zero = scratch.zeros[group], offset = scratch.offsets[group];
    for (uint64_t c = begin; c < end; ++c) {
      row.values[c] = (static_cast<float>(scratch.codes[c]) - zero) * scale + offset;
    }
    if (zero != std::nearbyint(zero)) return;  // the grid does not have 0
    for (uint64_t block = divide_up(begin, kBlock); (block + 1) * kBlock <= end; ++block) {
      row.steps[block] = scale;
      row.lowest[block] = (static_cast<float>(coding_.lowest_code) - zero) * scale + offset;
    }
  }

  bool is_in_order(std::span<const int32_t> group_of_column) const {
    for (uint64_t c = 0; c < columns(); ++c) {
      if (static_cast<uint64_t>(group_of_column[c]) != c / coding_.group) return false;
    }
    return true;
  }

  std::string_view fill_columns(const Scratch& scratch, GridRow& row) const {
    for (uint64_t c = 0; c < columns(); ++c) {
      const auto g = static_cast<uint32_t>(scratch.group_of_column[c]);
      if (g >= scratch.scales.size()) return "a column of a group that is not there";
      row.values[c] =
          (static_cast<float>(scratch.codes[c]) - scratch.zeros[g]) * scratch.scales[g] + scratch.offsets[g];
    }
    return {};
  }

  const ScaledIntegers coding_;
  const uint64_t groups_;  ///< of a row
};

void set_units(StoredPart& part, bool is_by_rows, const ScaledIntegers& coding) {
  const uint64_t rows = coding.codes.rows, columns = coding.codes.columns;
  part.values = is_by_rows ? columns : rows * columns;
  part.unit_bytes = is_by_rows ? part.bytes / rows : part.bytes;
}

}  // namespace

std::unique_ptr<TensorCoding> make_scaled_integers(std::string name, const ScaledIntegers& coding,
                                                   std::vector<StoredPart> parts, std::string description) {
  set_units(parts[0], coding.codes.is_by_rows(), coding);
  set_units(parts[1], coding.scale_order == ScaledIntegers::ScaleOrder::by_rows, coding);
  if (coding.is_flattened) {
    parts[1].values = coding.group;
    parts[1].unit_bytes = traits(parts[1].format).block_bytes;
  }
  size_t next = 2;
  if (coding.zeros == ScaledIntegers::Zeros::integers) {
    set_units(parts[next++], coding.zero_codes.is_by_rows(), coding);
  } else if (coding.zeros == ScaledIntegers::Zeros::offsets) {
    set_units(parts[next++], coding.scale_order == ScaledIntegers::ScaleOrder::by_rows, coding);
  }
  if (coding.column_groups != ScaledIntegers::ColumnGroups::in_order) set_units(parts[next], false, coding);
  return std::make_unique<Coding>(std::move(name), coding, std::move(parts), std::move(description));
}

NumberFormat held_format(const ScaledIntegers& coding, bool is_vector) {
  if (is_vector || coding.codes.columns % kBlock != 0) return NumberFormat::f32;
  if (!has_whole_blocks(coding) || coding.highest_code - coding.lowest_code > 15) return NumberFormat::q8_0;
  const bool is_symmetric = coding.zeros == ScaledIntegers::Zeros::none || coding.only_zero;
  return is_symmetric ? NumberFormat::q4_0 : NumberFormat::q4_1;
}

}  // namespace hearth::codings
