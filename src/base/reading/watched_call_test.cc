#include "base/reading/watched_call.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <unistd.h>

#include "base/file.h"
#include "base/reading/testing_file.h"

namespace hearth {
namespace {

using std::chrono::milliseconds;
using testing::AllOf;
using testing::HasSubstr;

/// A file whose bytes come when they are written into the other end of a pipe.
class PipeFile {
 public:
  PipeFile() { EXPECT_EQ(::pipe(ends_), 0); }
  ~PipeFile() { ::close(ends_[1]); }
  std::shared_ptr<File> file(uint64_t bytes) {
    return std::make_shared<File>(File::adopt("/models/slow.gguf", ends_[0], bytes));
  }
  void write(const std::string& text) { EXPECT_EQ(::write(ends_[1], text.data(), text.size()), std::ssize(text)); }

 private:
  int ends_[2] = {-1, -1};
};

/// A pipe has no offsets: what File's read_at does with a descriptor, on one.
Result<std::string> read_pipe(const File& file, uint64_t offset, size_t bytes) {
  const AsksFile asks(file.path(), offset, bytes);
  std::string text(bytes, '\0');
  const ssize_t got = ::read(file.descriptor(), text.data(), bytes);
  text.resize(static_cast<size_t>(std::max<ssize_t>(got, 0)));
  return text;
}

TEST(WatchedCall, GivesWhatTheWorkGives) {
  EXPECT_EQ(watched_call([] { return Result<int>(7); }, milliseconds(1), {}).value(), 7);
  const auto failed = watched_call([]() -> Result<int> { return fail(ErrorCode::io, "no"); }, milliseconds(0), {});
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().code, ErrorCode::io);
}

TEST(WatchedCall, AFileThatDoesNotAnswerIsNamed) {
  PipeFile pipe;
  const auto read = watched_call([file = pipe.file(100)] { return read_pipe(*file, 48, 16); }, milliseconds(50), {});
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().code, ErrorCode::timed_out);
  EXPECT_THAT(read.error().message, AllOf(HasSubstr("/models/slow.gguf"), HasSubstr("16 bytes at offset 48")));
  pipe.write("now");  // the thread that was left behind ends
}

TEST(WatchedCall, ADriverThatDoesNotAnswerIsNamedWithTheQuestion) {
  PipeFile pipe;
  const auto ask = [file = pipe.file(1)]() -> Result<void> {
    const AsksFile asks("/dev/accel/accel0", "its clocks were asked for");
    char byte = 0;
    EXPECT_EQ(::read(file->descriptor(), &byte, 1), 1);
    return {};
  };
  const auto answer = watched_call(ask, milliseconds(50), {});
  ASSERT_FALSE(answer);
  EXPECT_THAT(answer.error().message, AllOf(HasSubstr("/dev/accel/accel0"), HasSubstr("while its clocks were asked")));
  EXPECT_THAT(answer.error().hint, HasSubstr("driver"));
  pipe.write("x");
}

TEST(WatchedCall, WorkWithoutFilesMayTakeItsTime) {
  const auto slow = [] {
    std::this_thread::sleep_for(milliseconds(80));
    return Result<int>(1);
  };
  EXPECT_TRUE(watched_call(slow, milliseconds(20), {}));
}

TEST(WatchedCall, AFileThatAnswersSlowlyIsWaitedFor) {
  PipeFile pipe;
  const auto read_twice = [file = pipe.file(100)]() -> Result<std::string> {
    std::string text;
    for (int i = 0; i < 2; ++i) {
      auto piece = read_pipe(*file, 0, 1);
      if (!piece) return piece;
      text += *piece;
    }
    return text;
  };
  std::jthread writer([&] {
    for (int i = 0; i < 2; ++i) {
      std::this_thread::sleep_for(milliseconds(60));
      pipe.write("x");
    }
  });
  EXPECT_EQ(watched_call(read_twice, std::chrono::seconds(60), {}).value(), "xx");
}

TEST(WatchedCall, IsCancelledWhileAFileDoesNotAnswer) {
  PipeFile pipe;
  std::stop_source stop;
  std::jthread stopper([&] { stop.request_stop(); });
  const auto read =
      watched_call([file = pipe.file(1)] { return read_pipe(*file, 0, 1); }, milliseconds(0), stop.get_token());
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().code, ErrorCode::cancelled);
  pipe.write("x");
}

TEST(WatchedCall, FilesSayWhatIsAskedOfThem) {
  const TestingFile content(1000);
  const auto watch = std::make_shared<ReadWatch>();
  std::jthread([&] {
    ReadWatch::set_of_thread(watch);
    EXPECT_EQ(read_whole_file(content.path()).value(), content.content());
  }).join();
  EXPECT_EQ(watch->answered(), 2U) << "opening and reading";
  EXPECT_FALSE(watch->asked());
}

}  // namespace
}  // namespace hearth
