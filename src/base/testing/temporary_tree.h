#pragma once

#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <string>

namespace hearth {

/// A folder that stands for "/" in a test, filled by it and removed in the end.
class TemporaryTree {
 public:
  TemporaryTree() {
    static std::atomic<int> count = 0;
    const std::string name = "hearth_tree_" + std::to_string(getpid()) + "_" + std::to_string(++count);
    root_ = std::filesystem::temp_directory_path() / name;
    std::filesystem::remove_all(root_);
    std::filesystem::create_directories(root_);
  }
  ~TemporaryTree() { std::filesystem::remove_all(root_); }
  TemporaryTree(const TemporaryTree&) = delete;
  TemporaryTree& operator=(const TemporaryTree&) = delete;

  const std::filesystem::path& root() const { return root_; }

  /// A file with this content, in folders that are made where they are missing.
  void write(const std::filesystem::path& path, const std::string& content) const {
    std::filesystem::create_directories((root_ / path).parent_path());
    std::ofstream(root_ / path, std::ios::binary) << content;
  }

  void make_folder(const std::filesystem::path& path) const { std::filesystem::create_directories(root_ / path); }

  /// A link with this text.
  void link(const std::filesystem::path& path, const std::string& target) const {
    std::filesystem::create_directories((root_ / path).parent_path());
    std::filesystem::create_symlink(target, root_ / path);
  }

 private:
  std::filesystem::path root_;
};

}  // namespace hearth
