#include "model/read_plan.h"

#include <gmock/gmock.h>

#include <map>
#include <random>
#include <vector>

#include "formats/codings/scaled_integers.h"

namespace hearth {
namespace {

constexpr uint64_t kMostBytes = 1U << 20;

/// Codes and scales: with the rows, in groups that go on across them, or in an order that needs all of them.
void make_coded(TensorInfo& codes, const TensorInfo& scales, int kind) {
  const auto rows = static_cast<uint64_t>(codes.shape[0]), columns = static_cast<uint64_t>(codes.shape[1]);
  codings::ScaledIntegers coding{.codes = {codings::IntegerLayout::signed_bytes, 8, rows, columns}, .group = columns};
  if (kind == 1) coding.is_flattened = true, coding.group = 128;
  if (kind == 2) coding.codes.layout = codings::IntegerLayout::column_stream;
  if (kind == 2) coding.scale_order = codings::ScaledIntegers::ScaleOrder::by_groups;
  const StoredPart parts[] = {
      {.format = NumberFormat::i8, .file = codes.file, .offset = codes.offset, .bytes = rows * columns},
      {.format = NumberFormat::f32, .file = scales.file, .offset = scales.offset, .bytes = scales.bytes}};
  codes.coding = codings::make_scaled_integers("t", coding, {parts[0], parts[1]}, "");
  codes.bytes = codes.coding->bytes();
}

/// Tensors one behind the other in two files, of all sizes, layers in any order; some come as every other row, some as
/// columns, some are coded.
std::vector<WeightPlan::Source> random_sources(unsigned seed) {
  std::mt19937 random(seed);
  std::vector<WeightPlan::Source> sources;
  uint64_t ends[2] = {100, 7000};
  const auto tensor = [&](uint32_t rows, uint32_t cols) {
    const uint32_t file = random() % 2;
    TensorInfo info{.name = "t", .shape = {rows, cols}, .file = file, .offset = ends[file]};
    info.bytes = uint64_t{rows} * cols * sizeof(float);
    ends[file] += info.bytes + random() % 3 * 100'000;
    return info;
  };
  for (int i = 0; i < 30; ++i) {
    const uint32_t rows = 1 + random() % (i % 3 == 0 ? 3000 : 40), cols = 1 + random() % (i % 5 == 0 ? 30'000 : 300);
    WeightPlan::Source source{.tensor = tensor(rows, cols), .rows = rows, .layer = static_cast<int>(random() % 7)};
    if (i % 4 == 1) source.transposed = {.count = cols};
    if (i % 4 == 2) {
      const int kind = i / 4 % 3;
      make_coded(source.tensor, tensor(kind == 1 ? (rows * cols + 127) / 128 : rows, 1), kind);
    }
    if (i % 4 == 3 && rows > 2) {
      source.row_step = 2;
      source.rows = rows / 2;
      sources.push_back(source);
      source.first_row = 1;
    }
    sources.push_back(source);
  }
  return sources;
}

/// Where byte `at` of a piece lies, by its definition.
std::pair<uint32_t, uint64_t> place_of(const WeightPiece& piece, uint64_t at) {
  const TensorInfo& tensor = piece.source->tensor;
  const CodedRows rows = piece.tensor_rows();
  if (tensor.coding == nullptr) {
    const uint64_t row_bytes = tensor.bytes / static_cast<uint64_t>(tensor.shape[0]);
    return {tensor.file, tensor.offset + rows.first * row_bytes + at};
  }
  const TensorCoding::Range codes = tensor.coding->range_of(0, rows), scales = tensor.coding->range_of(1, rows);
  const StoredPart& part = tensor.coding->parts()[at < codes.bytes ? 0 : 1];
  return {part.file, part.offset + (at < codes.bytes ? codes.offset + at : scales.offset + at - codes.bytes)};
}

class ReadPlanTest : public testing::TestWithParam<unsigned> {
 protected:
  std::vector<WeightPlan::Source> sources_ = random_sources(GetParam());
  ReadPlan plan_ = plan_reads(sources_, kMostBytes);
};

TEST_P(ReadPlanTest, EveryPartIsCutIntoWholeGroupsOfRows) {
  std::map<const WeightPlan::Source*, std::map<uint32_t, uint32_t>> rows_at;
  for (const WeightPiece& piece : plan_.pieces) rows_at[piece.source][piece.first_row] = piece.rows;
  for (const WeightPlan::Source& source : sources_) {
    uint32_t row = 0;
    for (const auto& [first, rows] : rows_at[&source]) {
      EXPECT_EQ(first, row);
      row += rows;
      EXPECT_TRUE(rows % Device::kRowGranularity == 0 || row == source.rows);
    }
    EXPECT_EQ(row, source.rows);
  }
}

TEST_P(ReadPlanTest, EveryByteOfAPieceComesOnceFromItsPlace) {
  std::vector<std::map<uint64_t, uint64_t>> came(plan_.pieces.size());
  std::vector<uint32_t> shares(plan_.pieces.size());
  for (const WeightRead& read : plan_.reads) {
    EXPECT_LE(read.range.bytes, kMostBytes);
    for (const PieceShare& share : read.shares) {
      EXPECT_LE(share.in_read + share.bytes, read.range.bytes);
      const WeightPiece& piece = plan_.pieces[share.piece];
      const std::pair begin(read.range.file, read.range.offset + share.in_read);
      EXPECT_EQ(begin, place_of(piece, share.in_piece));
      const std::pair last(begin.first, begin.second + share.bytes - 1);
      EXPECT_EQ(last, place_of(piece, share.in_piece + share.bytes - 1));
      came[share.piece][share.in_piece] = share.bytes;
      ++shares[share.piece];
    }
  }
  for (size_t i = 0; i < plan_.pieces.size(); ++i) {
    uint64_t at = 0;
    for (const auto& [begin, bytes] : came[i]) {
      EXPECT_EQ(begin, at);
      at += bytes;
    }
    EXPECT_EQ(at, plan_.pieces[i].bytes);
    EXPECT_EQ(shares[i], plan_.pieces[i].shares);
  }
}

TEST_P(ReadPlanTest, LayersComeInOrder) {
  int layer = 0;
  for (const WeightRead& read : plan_.reads) {
    for (const PieceShare& share : read.shares) {
      const int of_piece = plan_.pieces[share.piece].source->layer;
      EXPECT_LE(layer, of_piece + 1) << "a read may bring the beginning of the next layer, and no more";
      layer = std::max(layer, of_piece);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, ReadPlanTest, testing::Range(0U, 8U));

WeightPlan::Source source_at(uint64_t offset, uint32_t rows) {
  WeightPlan::Source source{.tensor = {.name = "t", .shape = {rows, 256}, .offset = offset}, .rows = rows};
  source.tensor.bytes = uint64_t{rows} * 1024;
  return source;
}

TEST(ReadPlan, NeighboursComeInOneRead) {
  const std::vector<WeightPlan::Source> sources = {source_at(0, 64), source_at(64 << 10, 64), source_at(130 << 10, 64)};
  const ReadPlan plan = plan_reads(sources, kMostBytes);
  ASSERT_EQ(plan.reads.size(), 1U);
  EXPECT_EQ(plan.reads[0].range.bytes, 194U << 10);
  EXPECT_EQ(plan.pieces.size(), 3U);
}

TEST(ReadPlan, InterleavedHalvesAreReadOnce) {
  std::vector<WeightPlan::Source> sources(2, source_at(0, 4096));
  for (WeightPlan::Source& source : sources) source.row_step = 2, source.rows = 2048;
  sources[1].first_row = 1;
  uint64_t bytes = 0;
  for (const WeightRead& read : plan_reads(sources, kMostBytes).reads) bytes += read.range.bytes;
  EXPECT_LE(bytes, 4096U * 1024 + 16 * 1024) << "of 4 MiB, but for a row at each border";
}

}  // namespace
}  // namespace hearth
