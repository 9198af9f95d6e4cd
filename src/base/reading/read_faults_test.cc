// Disks that fail, hang or answer oddly: what threads read with is replaced, io_uring reads from a pipe.

#include <fcntl.h>
#include <gmock/gmock.h>
#include <poll.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstring>
#include <latch>
#include <mutex>
#include <random>
#include <semaphore>
#include <set>
#include <thread>

#include "base/reading/read_queue.h"
#include "base/reading/testing_file.h"

namespace hearth {
namespace {

using testing::AllOf;
using testing::HasSubstr;

constexpr uint64_t kMostBytes = 64U << 10;

std::unique_ptr<ReadQueue> open(const File& file, ReadQueue::Options options) {
  options.most_bytes = kMostBytes;
  const File* const files[] = {&file};
  auto queue = ReadQueue::open(files, options);
  EXPECT_TRUE(queue) << to_string(queue.error());
  return std::move(queue.value());
}

void submit_all(ReadQueue& queue, const File& file) {
  for (uint64_t offset = 0; offset < file.size_bytes(); offset += kMostBytes) {
    queue.submit({.file = 0, .offset = offset, .bytes = std::min(kMostBytes, file.size_bytes() - offset)});
  }
}

/// Takes everything and compares it.
void expect_all(ReadQueue& queue, const TestingFile& file) {
  size_t count = 0;
  for (;;) {
    auto read = queue.next({});
    ASSERT_TRUE(read) << to_string(read.error());
    if (!*read) break;
    const auto bytes = (*read)->bytes();
    EXPECT_EQ(std::memcmp(bytes.data(), file.content().data() + (*read)->number() * kMostBytes, bytes.size()), 0);
    ++count;
  }
  EXPECT_EQ(count, (file.content().size() + kMostBytes - 1) / kMostBytes);
}

class ReadFaultsTest : public testing::TestWithParam<ReadWay> {};

TEST_P(ReadFaultsTest, ShortAndInterruptedReadsGoOn) {
  const TestingFile content(1'000'001);
  const File file = content.open();
  std::atomic<unsigned> calls = 0;
  const auto read = [&](int descriptor, void* into, size_t bytes, off_t offset) -> ssize_t {
    const unsigned call = calls++;
    if (call % 5 == 1) {
      errno = EINTR;
      return -1;
    }
    // Disks end reads at whole blocks only.
    const size_t some =
        call % 2 == 0 ? bytes : std::max<size_t>(bytes / 3 / 4096 * 4096, std::min<size_t>(bytes, 4096));
    return ::pread(descriptor, into, some, offset);
  };
  auto queue = open(file, {.buffers = 4, .way = GetParam(), .read = read});
  submit_all(*queue, file);
  expect_all(*queue, content);
}

TEST_P(ReadFaultsTest, RefusedDirectReadsBecomeBufferedOnes) {
  const TestingFile content(1'000'001);
  const File file = content.open();
  const auto read = [&](int descriptor, void* into, size_t bytes, off_t offset) -> ssize_t {
    if ((::fcntl(descriptor, F_GETFL) & O_DIRECT) == 0) return ::pread(descriptor, into, bytes, offset);
    errno = EINVAL;
    return -1;
  };
  auto queue = open(file, {.buffers = 4, .way = GetParam(), .read = read});
  submit_all(*queue, file);
  expect_all(*queue, content);
  EXPECT_EQ(queue->counts().buffered_bytes, file.size_bytes());
}

TEST_P(ReadFaultsTest, AnErrorNamesItsPlaceAndEndsEverything) {
  const TestingFile content(1'000'001);
  const File file = content.open();
  const auto read = [&](int descriptor, void* into, size_t bytes, off_t offset) -> ssize_t {
    if (offset != 3 * off_t{kMostBytes}) return ::pread(descriptor, into, bytes, offset);
    errno = EIO;
    return -1;
  };
  auto queue = open(file, {.buffers = 2, .way = GetParam(), .read = read});
  submit_all(*queue, file);
  for (;;) {
    auto next = queue->next({});
    if (next) {
      ASSERT_TRUE(*next) << "all came, the broken one too";
      continue;
    }
    EXPECT_EQ(next.error().code, ErrorCode::io);
    EXPECT_THAT(next.error().message, AllOf(HasSubstr(content.path().filename()), HasSubstr("offset 196608"),
                                            HasSubstr("Input/output error")));
    break;
  }
  EXPECT_EQ(queue->next({}).error().code, ErrorCode::io) << "from then on, for every thread";
}

TEST_P(ReadFaultsTest, NoMoreBuffersThanAllowedAreTouched) {
  const TestingFile content(8U << 20);
  const File file = content.open();
  std::mutex mutex;
  std::set<void*> buffers;
  const auto read = [&](int descriptor, void* into, size_t bytes, off_t offset) -> ssize_t {
    {
      const std::scoped_lock lock(mutex);
      buffers.insert(into);
    }
    return ::pread(descriptor, into, bytes, offset);
  };
  auto queue = open(file, {.buffers = 3, .way = GetParam(), .read = read});
  submit_all(*queue, file);
  expect_all(*queue, content);
  EXPECT_LE(buffers.size(), 3U);
}

/// A disk that answers nothing until it is told to; then it writes into the buffers that it was given.
struct HangingDisk {
  std::atomic<int> waiting = 0;
  std::atomic<bool> answers = false;
  std::atomic<int> answered = 0;

  ssize_t read(void* into, size_t bytes) {
    ++waiting;
    waiting.notify_all();
    answers.wait(false);
    std::memset(into, 7, bytes);
    ++answered;
    answered.notify_all();
    return static_cast<ssize_t>(bytes);
  }
  void wait_for(std::atomic<int>& count, int value) {
    for (int now = count; now < value; now = count) count.wait(now);
  }
};

TEST_P(ReadFaultsTest, AStopLeavesAHangingDiskBehind) {
  const TestingFile content(1U << 20);
  const File file = content.open();
  const auto disk = std::make_shared<HangingDisk>();
  const auto read = [disk](int, void* into, size_t bytes, off_t) { return disk->read(into, bytes); };
  auto queue = open(file, {.buffers = 3, .way = GetParam(), .read = read});
  submit_all(*queue, file);
  std::stop_source stop;
  std::jthread stopper([&] {
    disk->wait_for(disk->waiting, 3);
    stop.request_stop();
  });
  auto next = queue->next(stop.get_token());
  ASSERT_FALSE(next);
  EXPECT_EQ(next.error().code, ErrorCode::cancelled);
  queue.reset();  // returns
  EXPECT_EQ(disk->answered, 0);
  disk->answers = true;
  disk->answers.notify_all();
  disk->wait_for(disk->answered, 3);  // each has written to its buffer, which was still there
}

TEST_P(ReadFaultsTest, AStallIsNamed) {
  const TestingFile content(1U << 20);
  const File file = content.open();
  const auto disk = std::make_shared<HangingDisk>();
  const auto read = [disk](int descriptor, void* into, size_t bytes, off_t offset) -> ssize_t {
    return offset < 2 * off_t{kMostBytes} ? ::pread(descriptor, into, bytes, offset) : disk->read(into, bytes);
  };
  auto queue =
      open(file, {.buffers = 3, .stall_limit = std::chrono::milliseconds(50), .way = GetParam(), .read = read});
  submit_all(*queue, file);
  for (int i = 0; i < 2; ++i) ASSERT_TRUE(queue->next({}));
  disk->wait_for(disk->waiting, 1);
  const auto waited = queue->waited();
  ASSERT_TRUE(waited);
  EXPECT_EQ(waited->path, content.path());
  EXPECT_EQ(waited->range.offset, 2 * kMostBytes);
  auto next = queue->next({});
  ASSERT_FALSE(next);
  EXPECT_EQ(next.error().code, ErrorCode::timed_out);
  EXPECT_THAT(next.error().message, AllOf(HasSubstr(content.path().filename()), HasSubstr("offset 131072")));
  queue.reset();
  disk->answers = true;
  disk->answers.notify_all();
  disk->wait_for(disk->answered, 1);
}

INSTANTIATE_TEST_SUITE_P(Ways, ReadFaultsTest, testing::Values(ReadWay::threads, ReadWay::buffered),
                         [](const auto& test) { return std::string(name_of(test.param)); });

class PipeTest : public testing::Test {
 protected:
  void SetUp() override {
    int ends[2];
    ASSERT_EQ(::pipe(ends), 0);
    in_ = ends[1];
    const File file = File::adopt("pipe", ends[0], 100);
    const File* const files[] = {&file};
    auto queue = ReadQueue::open(files, {.stall_limit = std::chrono::milliseconds(50), .way = ReadWay::ring});
    if (!queue) GTEST_SKIP() << to_string(queue.error());
    queue_ = std::move(*queue);
    queue_->submit({.file = 0, .offset = 0, .bytes = 100});
  }
  ~PipeTest() override { ::close(in_); }

  /// Waits until nobody can read what is written: all descriptors of the other end are closed.
  void wait_for_the_end_of_readers() {
    pollfd end = {.fd = in_, .events = 0, .revents = 0};
    ::poll(&end, 1, 60'000);
    EXPECT_TRUE(end.revents & POLLERR);
  }

  int in_ = -1;
  std::unique_ptr<ReadQueue> queue_;
};

TEST_F(PipeTest, TheRingIsLeftBehindWithItsBuffersUntilTheBytesCome) {
  std::stop_source stop;
  std::jthread stopper([&] {
    while (!queue_->waited()) std::this_thread::yield();
    stop.request_stop();
  });
  EXPECT_EQ(queue_->next(stop.get_token()).error().code, ErrorCode::cancelled);
  stopper.join();
  queue_.reset();
  pollfd end = {.fd = in_, .events = 0, .revents = 0};
  EXPECT_EQ(::poll(&end, 1, 0), 0) << "the read is still outstanding";
  const std::string bytes(100, 'x');
  ASSERT_EQ(::write(in_, bytes.data(), bytes.size()), 100);
  wait_for_the_end_of_readers();
}

TEST_F(PipeTest, AStallOfTheRingIsNamed) {
  auto next = queue_->next({});
  ASSERT_FALSE(next);
  EXPECT_EQ(next.error().code, ErrorCode::timed_out);
  EXPECT_THAT(next.error().message, AllOf(HasSubstr("pipe"), HasSubstr("offset 0")));
}

}  // namespace
}  // namespace hearth
