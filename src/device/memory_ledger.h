#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <numeric>
#include <string>
#include <string_view>
#include <utility>

namespace hearth {

/// What a device's memory is for.
enum class MemoryOwner : uint8_t {
  weights,
  cache,
  activations,  ///< and whatever else a program's steps write and read
  staging,      ///< what the host and the device exchange
};
inline constexpr std::array<std::string_view, 4> kMemoryOwners = {"weights", "cache", "activations", "staging"};

/// Bytes by owner.
struct MemoryUse {
  std::array<uint64_t, kMemoryOwners.size()> bytes{};

  uint64_t of(MemoryOwner owner) const { return bytes[static_cast<size_t>(owner)]; }
  uint64_t total() const { return std::reduce(bytes.begin(), bytes.end()); }
};

/// Of one device.
struct DeviceMemoryUse {
  std::string device;  ///< DeviceInfo::name
  MemoryUse use;
};

/// All that a device has allocated. Whoever allocates makes an entry, which lives as long as the memory. Thread-safe.
class MemoryLedger {
 public:
  /// Movable; ends with its owner. For one thread.
  class Entry {
   public:
    Entry() = default;
    ~Entry() { add(0 - bytes_); }
    Entry(Entry&& other) noexcept { *this = std::move(other); }
    Entry& operator=(Entry&& other) noexcept {
      std::swap(total_, other.total_);
      std::swap(bytes_, other.bytes_);
      return *this;
    }

    void add(uint64_t bytes) {
      if (total_ == nullptr) return;
      *total_ += bytes;
      bytes_ += bytes;
    }

   private:
    friend MemoryLedger;
    explicit Entry(std::atomic<uint64_t>& total) : total_(&total) {}

    std::atomic<uint64_t>* total_ = nullptr;
    uint64_t bytes_ = 0;
  };

  Entry enter(MemoryOwner owner, uint64_t bytes = 0) {
    Entry entry(totals_[static_cast<size_t>(owner)]);
    entry.add(bytes);
    return entry;
  }

  MemoryUse now() const {
    MemoryUse use;
    for (size_t i = 0; i < totals_.size(); ++i) use.bytes[i] = totals_[i];
    return use;
  }

 private:
  std::array<std::atomic<uint64_t>, kMemoryOwners.size()> totals_{};
};

}  // namespace hearth
