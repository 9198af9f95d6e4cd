#include "base/reading/read_queue.h"

#include <gmock/gmock.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <fstream>
#include <map>
#include <mutex>
#include <random>
#include <set>
#include <thread>

#include "base/reading/testing_file.h"

namespace hearth {
namespace {

using testing::AllOf;
using testing::HasSubstr;

constexpr uint64_t kMostBytes = 64U << 10;

struct Case {
  ReadWay way;
  bool cached;
};

class ReadQueueTest : public testing::TestWithParam<Case> {
 protected:
  /// Nothing where this system has no such way.
  std::unique_ptr<ReadQueue> open(const File& file, ReadQueue::Options options) {
    options.most_bytes = kMostBytes;
    options.way = GetParam().way;
    const File* const files[] = {&file};
    auto queue = ReadQueue::open(files, options);
    if (queue) return std::move(*queue);
    EXPECT_EQ(queue.error().code, ErrorCode::unsupported) << to_string(queue.error());
    return nullptr;
  }

  void prepare_cache(const File& file) {
    if (GetParam().cached) {
      std::vector<std::byte> all(file.size_bytes());
      ASSERT_TRUE(file.read_at(0, all));
    } else {
      ASSERT_EQ(::fsync(file.descriptor()), 0);
      file.drop_cached_pages();
    }
  }

  TestingFile file_{(5U << 20) + 1234};
};

/// Ranges of all sizes at all places, the file's last bytes among them.
std::vector<FileRange> random_ranges(uint64_t file_bytes, size_t count) {
  std::mt19937_64 random(7);
  std::vector<FileRange> ranges;
  for (size_t i = 0; i < count; ++i) {
    const uint64_t bytes = i % 3 == 0 ? kMostBytes - random() % 2 : 1 + random() % kMostBytes;
    ranges.push_back({.file = 0, .offset = random() % (file_bytes - bytes + 1), .bytes = bytes});
    if (i % 10 == 0) ranges.back().offset = file_bytes - bytes;
    if (i % 10 == 5) ranges.back().offset = ranges.back().offset / 4096 * 4096;
  }
  return ranges;
}

void expect_equal(const TestingFile& file, const FileRange& range, const FinishedRead& read) {
  ASSERT_EQ(read.bytes().size(), range.bytes);
  EXPECT_EQ(std::memcmp(read.bytes().data(), file.content().data() + range.offset, range.bytes), 0)
      << range.bytes << " bytes at " << range.offset;
}

TEST_P(ReadQueueTest, ReadsWhatTheFileHolds) {
  const File file = file_.open();
  prepare_cache(file);
  auto queue = open(file, {.buffers = 5});
  if (!queue) GTEST_SKIP() << "not on this system";
  const auto ranges = random_ranges(file.size_bytes(), 300);
  for (const FileRange& range : ranges) queue->submit(range);
  std::set<uint64_t> came;
  uint64_t bytes = 0;
  for (;;) {
    auto read = queue->next({});
    ASSERT_TRUE(read) << to_string(read.error());
    if (!*read) break;
    EXPECT_TRUE(came.insert((*read)->number()).second);
    expect_equal(file_, ranges[(*read)->number()], **read);
    bytes += (*read)->bytes().size();
  }
  EXPECT_EQ(came.size(), ranges.size());
  const ReadCounts counts = queue->counts();
  EXPECT_EQ(counts.copied_bytes + counts.direct_bytes + counts.buffered_bytes, bytes);
  const bool may_copy = GetParam().way == ReadWay::automatic || GetParam().way == ReadWay::cached;
  EXPECT_TRUE(may_copy || counts.copied_bytes == 0);
  EXPECT_TRUE(GetParam().way != ReadWay::cached || counts.copied_bytes + counts.buffered_bytes == bytes);
  EXPECT_TRUE(GetParam().way != ReadWay::buffered || counts.buffered_bytes == bytes);
}

TEST_P(ReadQueueTest, ManyThreadsTakeEachReadOnceWhilePagesLeaveTheCache) {
  const File file = file_.open();
  prepare_cache(file);
  auto queue = open(file, {.buffers = 4});
  if (!queue) GTEST_SKIP() << "not on this system";
  const auto ranges = random_ranges(file.size_bytes(), 200);
  for (const FileRange& range : ranges) queue->submit(range);
  std::mutex mutex;
  std::set<uint64_t> came;
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < 3; ++i) {
      threads.emplace_back([&, i] {
        for (;;) {
          auto read = queue->next({});
          ASSERT_TRUE(read) << to_string(read.error());
          if (!*read) return;
          expect_equal(file_, ranges[(*read)->number()], **read);
          if (i == 0) file.drop_cached_pages();
          const std::scoped_lock lock(mutex);
          EXPECT_TRUE(came.insert((*read)->number()).second);
        }
      });
    }
  }
  EXPECT_EQ(came.size(), ranges.size());
}

TEST_P(ReadQueueTest, AFileThatWasCutIsCorruptFromThereOn) {
  const File file = file_.open();
  file_.cut_to(100'000);
  auto queue = open(file, {});
  if (!queue) GTEST_SKIP() << "not on this system";
  queue->submit({.file = 0, .offset = 99'000, .bytes = 1000});
  auto whole = queue->next({});
  ASSERT_TRUE(whole) << to_string(whole.error());
  expect_equal(file_, {.file = 0, .offset = 99'000, .bytes = 1000}, **whole);
  queue->submit({.file = 0, .offset = 99'000, .bytes = 1001});
  auto cut = queue->next({});
  ASSERT_FALSE(cut);
  EXPECT_EQ(cut.error().code, ErrorCode::corrupt);
  EXPECT_THAT(cut.error().message,
              AllOf(HasSubstr(file_.path().filename()), HasSubstr("offset 99000"), HasSubstr("ends at 100000")));
  EXPECT_FALSE(file.check_unchanged());
}

TEST_P(ReadQueueTest, AVanishedFileIsReadToItsEnd) {
  const File file = file_.open();
  std::filesystem::remove(file_.path());
  auto queue = open(file, {});
  if (!queue) GTEST_SKIP() << "not on this system";
  queue->submit({.file = 0, .offset = 77, .bytes = 5000});
  auto read = queue->next({});
  ASSERT_TRUE(read) << to_string(read.error());
  expect_equal(file_, {.file = 0, .offset = 77, .bytes = 5000}, **read);
  EXPECT_TRUE(file.check_unchanged());
}

TEST_P(ReadQueueTest, ReadsThatNobodyTakesEndWithTheQueue) {
  const File file = file_.open();
  auto queue = open(file, {.buffers = 3});
  if (!queue) GTEST_SKIP() << "not on this system";
  for (const FileRange& range : random_ranges(file.size_bytes(), 50)) queue->submit(range);
  auto kept = queue->next({});
  ASSERT_TRUE(kept && *kept);
  queue.reset();
  expect_equal(file_, random_ranges(file.size_bytes(), 50)[(*kept)->number()], **kept);
}

INSTANTIATE_TEST_SUITE_P(Ways, ReadQueueTest,
                         testing::Values(Case{ReadWay::automatic, true}, Case{ReadWay::automatic, false},
                                         Case{ReadWay::ring, false}, Case{ReadWay::threads, false},
                                         Case{ReadWay::buffered, false}, Case{ReadWay::cached, true},
                                         Case{ReadWay::cached, false}),
                         [](const auto& test) {
                           return std::string(name_of(test.param.way)) + (test.param.cached ? "_cached" : "");
                         });

TEST(ReadQueue, CopiesWhatIsInThePageCache) {
  const TestingFile content(1U << 20);
  const File file = content.open();
  const File* const files[] = {&file};
  auto queue = ReadQueue::open(files, {.most_bytes = kMostBytes});
  ASSERT_TRUE(queue) << to_string(queue.error());
  for (uint64_t offset = 0; offset < file.size_bytes(); offset += kMostBytes) (*queue)->submit({0, offset, kMostBytes});
  while (auto read = *(*queue)->next({})) {
  }
  EXPECT_EQ((*queue)->counts().copied_bytes, file.size_bytes()) << "it was written a moment ago";
}

TEST(ReadQueue, NothingComesOfNothing) {
  auto queue = ReadQueue::open({}, {});
  ASSERT_TRUE(queue) << to_string(queue.error());
  auto read = (*queue)->next({});
  ASSERT_TRUE(read);
  EXPECT_FALSE(*read);
  EXPECT_FALSE((*queue)->waited());
}

}  // namespace
}  // namespace hearth
