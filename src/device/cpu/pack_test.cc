#include "device/cpu/pack.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "device/cpu/packed_matrix.h"
#include "device/cpu/test_device.h"
#include "tensor/quantize.h"

namespace hearth::cpu {
namespace {

constexpr NumberFormat kFormats[] = {NumberFormat::f32,  NumberFormat::f16,  NumberFormat::bf16, NumberFormat::q4_0,
                                     NumberFormat::q4_1, NumberFormat::q5_0, NumberFormat::q5_1, NumberFormat::q8_0,
                                     NumberFormat::q4_k, NumberFormat::q5_k, NumberFormat::q6_k, NumberFormat::mxfp4};

/// Random bytes reach every bit of every field, which quantised numbers would not. Numbers of the file's own, and the
/// places where scales lie, are kept finite by clearing an exponent bit.
std::vector<std::byte> random_blocks(NumberFormat format, size_t values, uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<std::byte> bytes(bytes_of(format, values));
  for (std::byte& b : bytes) b = static_cast<std::byte>(random());
  const size_t block_bytes = traits(format).block_bytes;
  for (size_t block = 0; block < bytes.size(); block += block_bytes) {
    if (format == NumberFormat::mxfp4) bytes[block] &= std::byte{0xbf};
    if (block_bytes <= 4) {
      bytes[block + block_bytes - 1] &= std::byte{0xbf};
    } else {
      for (const size_t place : {size_t{1}, size_t{3}, block_bytes - 1}) bytes[block + place] &= std::byte{0xbf};
    }
  }
  return bytes;
}

TEST(Pack, PackedRowsAreWhatTheFileSays) {
  for (const NumberFormat format : kFormats) {
    for (const unsigned rows : {16U, 1U, 7U}) {
      const size_t cols = 512;
      const auto bytes = random_blocks(format, rows * cols, 7 + rows);
      const TileLayout layout = tile_layout(*tile_encoding(format));
      std::vector<std::byte> tile(tile_groups(layout, cols) * layout.group_bytes(), std::byte{0xff});
      pack_tile(format, bytes, cols, tile.data());
      for (unsigned row = 0; row < kTileRows; ++row) {
        std::vector<float> is(cols, -1.0F);
        std::vector<float> should(cols, 0.0F);
        unpack_tile_row(*tile_encoding(format), tile.data(), row, is);
        const size_t row_bytes = bytes_of(format, cols);
        if (row < rows) dequantize_row(format, std::span(bytes).subspan(row * row_bytes, row_bytes), should);
        for (size_t c = 0; c < cols; ++c) {
          ASSERT_EQ(is[c], should[c]) << traits(format).name << " rows " << rows << " row " << row << " col " << c;
        }
      }
    }
  }
}

TEST(Pack, RowsMayLieAtAnyAddress) {
  for (const NumberFormat format : kFormats) {
    const size_t cols = 512;
    const auto bytes = random_blocks(format, kTileRows * cols, 3);
    const TileLayout layout = tile_layout(*tile_encoding(format));
    std::vector<std::byte> tile(tile_groups(layout, cols) * layout.group_bytes()), from_odd(tile.size());
    pack_tile(format, bytes, cols, tile.data());
    std::vector<std::byte> moved(bytes.size() + 1);
    std::ranges::copy(bytes, moved.begin() + 1);
    pack_tile(format, std::span(moved).subspan(1), cols, from_odd.data());
    EXPECT_TRUE(tile == from_odd) << traits(format).name;
  }
}

TEST(Pack, ATileTakesAboutTheBytesOfTheFile) {
  for (const NumberFormat format : kFormats) {
    const TileLayout layout = tile_layout(*tile_encoding(format));
    const double tile = static_cast<double>(layout.group_bytes()) / layout.group_cols() / kTileRows;
    const double file =
        static_cast<double>(traits(format).block_bytes) / static_cast<double>(traits(format).block_values);
    // A scale in bf16 takes a byte more than an exponent.
    EXPECT_LE(tile, file * (format == NumberFormat::mxfp4 ? 1.06 : 1.03)) << traits(format).name;
    EXPECT_EQ(layout.group_bytes() % 32, 0U) << traits(format).name;
  }
}

TEST(PackedMatrix, NamesTheTensorAndTheRowOfANonFiniteScale) {
  for (const NumberFormat format : kFormats) {
    Arena arena;
    auto matrix = PackedMatrix::create({.parts = {{"blk.3.ffn_up.weight", format, 48}}, .cols = 512}, arena);
    ASSERT_TRUE(matrix);
    auto bytes = encode(format, random_values(size_t{48} * 512, 3), 512);
    const size_t row_bytes = bytes_of(format, 512);
    std::byte* const row = bytes.data() + 37 * row_bytes;
    const size_t place = format == NumberFormat::q6_k ? 208 : 0;
    if (format == NumberFormat::f32) row[2] = std::byte{0xff};
    row[place + (format == NumberFormat::f32 ? 3 : 1)] = std::byte{0x7f};
    if (format == NumberFormat::mxfp4) row[0] = std::byte{0xff};
    if (format == NumberFormat::bf16) row[0] = std::byte{0xff};
    const auto wrote = matrix->write_rows(0, 16, std::span(bytes).subspan(16 * row_bytes));
    ASSERT_FALSE(wrote) << traits(format).name;
    EXPECT_EQ(wrote.error().code, ErrorCode::corrupt);
    EXPECT_NE(wrote.error().message.find("blk.3.ffn_up.weight: row 37"), std::string::npos) << wrote.error().message;
  }
}

TEST(PackedMatrix, RefusesWhatItCannotHold) {
  Arena arena;
  const auto integers = PackedMatrix::create({.parts = {{"ids", NumberFormat::i32, 4}}, .cols = 32}, arena);
  ASSERT_FALSE(integers);
  EXPECT_EQ(integers.error().code, ErrorCode::unsupported);
  const auto ragged = PackedMatrix::create({.parts = {{"w", NumberFormat::q4_k, 4}}, .cols = 288}, arena);
  ASSERT_FALSE(ragged);
  EXPECT_EQ(ragged.error().code, ErrorCode::unsupported);
  auto matrix = PackedMatrix::create({.parts = {{"w", NumberFormat::f32, 40}}, .cols = 8}, arena);
  ASSERT_TRUE(matrix);
  const std::vector<std::byte> rows(size_t{16} * 8 * 4);
  EXPECT_TRUE(matrix->write_rows(0, 16, rows));
  EXPECT_TRUE(matrix->write_rows(0, 32, std::span(rows).first(8 * 8 * 4)));
  EXPECT_FALSE(matrix->write_rows(0, 8, rows)) << "not the beginning of a tile";
  EXPECT_FALSE(matrix->write_rows(0, 32, rows)) << "more rows than there are";
  EXPECT_FALSE(matrix->write_rows(1, 0, rows)) << "no such part";
}

}  // namespace
}  // namespace hearth::cpu
