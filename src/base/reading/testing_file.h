#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <random>
#include <string>

#include "base/file.h"

namespace hearth {

/// A file of random bytes for as long as this lives.
class TestingFile {
 public:
  explicit TestingFile(size_t bytes) : content_(bytes, '\0') {
    static std::atomic<int> made = 0;
    path_ = testing::TempDir() + "hearth_read_test." + std::to_string(::getpid()) + "." + std::to_string(made++);
    std::mt19937 random(static_cast<unsigned>(bytes));
    for (char& c : content_) c = static_cast<char>(random());
    std::ofstream(path_, std::ios::binary) << content_;
  }
  ~TestingFile() { std::filesystem::remove(path_); }
  TestingFile(const TestingFile&) = delete;
  TestingFile& operator=(const TestingFile&) = delete;

  const std::filesystem::path& path() const { return path_; }
  const std::string& content() const { return content_; }
  File open() const { return File::open(path_).value(); }
  void cut_to(uint64_t bytes) { std::filesystem::resize_file(path_, bytes); }

 private:
  std::filesystem::path path_;
  std::string content_;
};

}  // namespace hearth
