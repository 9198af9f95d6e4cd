#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

namespace hearth {

/// What a thread asks of files (base/file.h), for another thread to see. Thread-safe.
class ReadWatch {
 public:
  using Clock = std::chrono::steady_clock;

  struct Asked {
    std::filesystem::path path;
    uint64_t offset = 0, bytes = 0;  ///< no bytes: it is being opened
    std::string question;            ///< what a driver is asked, such as "its clocks were asked for"; else empty
    pid_t thread = 0;
    Clock::time_point since;
  };

  void begin(Asked asked);
  void end();

  /// What is asked now and was not answered yet.
  std::optional<Asked> asked() const;
  uint64_t answered() const;  ///< so many questions so far

  /// That of the calling thread, or null.
  static ReadWatch* of_thread();
  static void set_of_thread(std::shared_ptr<ReadWatch> watch);

 private:
  mutable std::mutex mutex_;
  std::optional<Asked> asked_;
  uint64_t answered_ = 0;
};

/// For as long as it lives, the calling thread asks this of a file.
class AsksFile {
 public:
  AsksFile(const std::filesystem::path& path, uint64_t offset, uint64_t bytes) : watch_(ReadWatch::of_thread()) {
    if (watch_ != nullptr) watch_->begin({.path = path, .offset = offset, .bytes = bytes});
  }
  AsksFile(const std::filesystem::path& path, std::string question) : watch_(ReadWatch::of_thread()) {
    if (watch_ != nullptr) watch_->begin({.path = path, .question = std::move(question)});
  }
  ~AsksFile() {
    if (watch_ != nullptr) watch_->end();
  }
  AsksFile(const AsksFile&) = delete;
  AsksFile& operator=(const AsksFile&) = delete;

 private:
  ReadWatch* const watch_;
};

}  // namespace hearth
