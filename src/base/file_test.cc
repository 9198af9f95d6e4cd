#include "base/file.h"

#include <gmock/gmock.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <fstream>
#include <thread>
#include <vector>

namespace hearth {
namespace {

using testing::HasSubstr;

class FileTest : public testing::Test {
 protected:
  FileTest() : folder_(testing::TempDir() + "hearth_file_test." + std::to_string(::getpid())) {
    std::filesystem::create_directories(folder_);
  }
  ~FileTest() override { std::filesystem::remove_all(folder_); }

  std::filesystem::path write(const std::string& name, const std::string& text) {
    std::ofstream(folder_ / name, std::ios::binary) << text;
    return folder_ / name;
  }

  std::filesystem::path folder_;
};

TEST_F(FileTest, ReadsExactlyTheBytesAskedFor) {
  auto file = File::open(write("digits", "0123456789"));
  ASSERT_TRUE(file) << to_string(file.error());
  EXPECT_EQ(file->size_bytes(), 10u);
  std::string text(4, '?');
  ASSERT_TRUE(file->read_at(3, std::as_writable_bytes(std::span(text))));
  EXPECT_EQ(text, "3456");
  ASSERT_TRUE(file->read_at(6, std::as_writable_bytes(std::span(text))));
  EXPECT_EQ(text, "6789");
  EXPECT_TRUE(file->read_at(10, {}));
}

TEST_F(FileTest, RefusesReadsBeyondTheEndNamingPathAndOffset) {
  auto file = File::open(write("digits", "0123456789"));
  ASSERT_TRUE(file);
  std::string text(4, '?');
  for (const uint64_t offset : {uint64_t{7}, uint64_t{11}, UINT64_MAX, UINT64_MAX - 2}) {
    auto read = file->read_at(offset, std::as_writable_bytes(std::span(text)));
    ASSERT_FALSE(read);
    EXPECT_EQ(read.error().code, ErrorCode::corrupt);
    EXPECT_THAT(read.error().message, HasSubstr("digits"));
    EXPECT_THAT(read.error().message, HasSubstr(std::to_string(offset)));
  }
  EXPECT_EQ(text, "????");
}

TEST_F(FileTest, NoticesThatTheFileShrankAfterItWasOpened) {
  const auto path = write("digits", "0123456789");
  auto file = File::open(path);
  ASSERT_TRUE(file);
  std::filesystem::resize_file(path, 5);
  std::string text(4, '?');
  auto read = file->read_at(3, std::as_writable_bytes(std::span(text)));
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().code, ErrorCode::corrupt);
}

TEST_F(FileTest, SaysWhyItCannotOpen) {
  EXPECT_EQ(File::open(folder_ / "missing").error().code, ErrorCode::not_found);
  EXPECT_EQ(File::open(write("a", "") / "below").error().code, ErrorCode::not_found);

  auto directory = File::open(folder_);
  ASSERT_FALSE(directory);
  EXPECT_EQ(directory.error().code, ErrorCode::invalid_argument);
  EXPECT_THAT(directory.error().message, HasSubstr("a directory"));

  ASSERT_EQ(::mkfifo((folder_ / "pipe").c_str(), 0600), 0);
  auto pipe = File::open(folder_ / "pipe");  // must not wait for a writer
  ASSERT_FALSE(pipe);
  EXPECT_EQ(pipe.error().code, ErrorCode::invalid_argument);

  const auto odd_name = File::open(folder_ / "two\nlines");
  ASSERT_FALSE(odd_name);
  EXPECT_EQ(odd_name.error().message.find('\n'), std::string::npos);
}

TEST_F(FileTest, AMovedFileIsClosedOnce) {
  auto file = File::open(write("digits", "0123456789"));
  ASSERT_TRUE(file);
  const int descriptor = file->descriptor();
  {
    File taken = std::move(*file);
    EXPECT_EQ(taken.descriptor(), descriptor);
    EXPECT_EQ(file->descriptor(), -1);
  }
  EXPECT_EQ(::lseek(descriptor, 0, SEEK_CUR), -1) << "the descriptor is still open";
}

TEST_F(FileTest, ManyThreadsReadAtOnce) {
  std::string bytes(1 << 20, '\0');
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<char>(i * 2654435761u >> 24);
  auto file = File::open(write("large", bytes));
  ASSERT_TRUE(file);
  std::atomic<int> wrong = 0;
  std::vector<std::jthread> readers;
  for (size_t thread = 0; thread < 4; ++thread) {
    readers.emplace_back([&, thread] {
      std::string chunk(777, '\0');
      for (size_t offset = thread * 777; offset + chunk.size() <= bytes.size(); offset += 4 * 777) {
        const auto read = file->read_at(offset, std::as_writable_bytes(std::span(chunk)));
        if (!read || bytes.compare(offset, chunk.size(), chunk) != 0) ++wrong;
      }
    });
  }
  readers.clear();
  EXPECT_EQ(wrong, 0);
}

TEST_F(FileTest, ReadsAWholeFileUpToALimit) {
  const auto path = write("digits", "0123456789");
  EXPECT_EQ(read_whole_file(path), "0123456789");
  EXPECT_EQ(read_whole_file(path, 10), "0123456789");
  EXPECT_EQ(read_whole_file(write("empty", "")), "");
  // Around the sizes at which strings take more memory than they need.
  for (const size_t bytes : {15u, 16u, 17u, 23u, 30u, 31u, 4095u, 4096u, 100'000u}) {
    const std::string text(bytes, 'x');
    EXPECT_EQ(read_whole_file(write("text", text)), text);
  }
  auto too_large = read_whole_file(path, 9);
  ASSERT_FALSE(too_large);
  EXPECT_EQ(too_large.error().code, ErrorCode::unsupported);
}

}  // namespace
}  // namespace hearth
