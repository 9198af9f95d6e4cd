#include "tensor/number_format.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

#include "tensor/tensor_view.h"

namespace hearth {
namespace {

TEST(NumberFormat, NamesDifferAndBlocksHoldWhatTheirNamesSay) {
  std::set<std::string_view> names;
  for (int i = 0; i < kNumberFormatCount; ++i) {
    const FormatTraits& t = traits(static_cast<NumberFormat>(i));
    EXPECT_TRUE(names.insert(t.name).second) << t.name;
    const double bits = 8.0 * static_cast<double>(t.block_bytes) / static_cast<double>(t.block_values);
    EXPECT_LE(bits, 32.0) << t.name;
    // The digits in a name are its bits for each value; scales come on top.
    const int named = std::stoi(std::string(t.name.substr(t.name.find_first_of("0123456789"))));
    EXPECT_GE(bits, named) << t.name;
    EXPECT_LE(bits, named + 2) << t.name;
  }
  EXPECT_EQ(bytes_of(NumberFormat::q4_k, 512), 288u);
  EXPECT_EQ(bytes_of(NumberFormat::bf16, 3), 6u);
}

TEST(TensorView, RowsAreTheOuterDimensions) {
  std::vector<std::byte> bytes(bytes_of(NumberFormat::q8_0, 2 * 3 * 64));
  const TensorView view{NumberFormat::q8_0, {2, 3, 64}, bytes};
  EXPECT_EQ(view.rows(), 6);
  EXPECT_EQ(view.cols(), 64);
  EXPECT_EQ(view.values(), 384);
  EXPECT_EQ(view.row_bytes(), 68u);
  EXPECT_EQ(view.row(5).data() + view.row_bytes(), bytes.data() + bytes.size());
  EXPECT_EQ((TensorView{NumberFormat::f32, {7}, {}}.rows()), 1);
  EXPECT_EQ((TensorView{NumberFormat::f32, {}, {}}.values()), 1);
}

}  // namespace
}  // namespace hearth
