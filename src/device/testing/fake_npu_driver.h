#pragma once

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <future>
#include <map>
#include <string>
#include <vector>

#include "device/npu/npu_driver.h"

namespace hearth {

/// Answers in the place of the amdxdna driver, byte for byte as Linux lays its structures out
/// (include/uapi/drm/amdxdna_accel.h): written down here once more, apart from npu_protocol.h, which it checks.
class FakeNpuDriver final : public NpuDriver {
 public:
  using Bytes = std::vector<uint8_t>;

  /// The parameters of GET_INFO.
  static constexpr uint32_t kAieMetadata = 1, kClocks = 3, kFirmwareVersion = 8, kPowerMode = 9, kResources = 12;
  static constexpr uint32_t kOpen = 1000, kVersion = 1001;  ///< for hang_at

  /// Little-endian numbers of 1, 2, 4 or 8 bytes, one after the other.
  template <class... Numbers>
  static Bytes bytes_of(Numbers... numbers) {
    Bytes bytes;
    (append(bytes, numbers), ...);
    return bytes;
  }
  static Bytes text_of(const std::string& text, size_t bytes) {
    Bytes padded(text.begin(), text.end());
    padded.resize(bytes);
    return padded;
  }
  static Bytes joined(Bytes a, const Bytes& b) {
    a.insert(a.end(), b.begin(), b.end());
    return a;
  }

  /// A Phoenix as Linux 6.14 shows it: 5 columns of 6 rows, one row of shims, one of memory, four that compute.
  FakeNpuDriver() {
    answers[kAieMetadata] = bytes_of(uint32_t{0x8000}, uint16_t{5}, uint16_t{6}, uint32_t{2}, uint32_t{0},  // version
                                     tile(4, 2), tile(1, 1), tile(1, 0));
    answers[kClocks] = joined(clock("MP-NPU Clock", 600), clock("H Clock", 1024));
    answers[kFirmwareVersion] = bytes_of(uint32_t{1}, uint32_t{5}, uint32_t{2}, uint32_t{380});
    answers[kPowerMode] = bytes_of(uint64_t{0});
  }

  std::map<uint32_t, Bytes> answers;  ///< by parameter; to others the driver says EOPNOTSUPP
  std::map<uint32_t, int> errors;     ///< by parameter: a negative error number instead
  int open_result = 77;               ///< a descriptor, or a negative error number
  uint32_t hang_at = 0;               ///< the parameter, kOpen or kVersion where it hangs until released
  std::atomic<int> open_descriptors = 0;
  std::atomic<int> calls = 0;

  void release() { released_.set_value(); }

  static Bytes clock(const std::string& name, uint32_t megahertz) {
    return joined(text_of(name, 16), bytes_of(megahertz, uint32_t{0}));
  }

  int open(const std::filesystem::path&) override {
    ++calls;
    hang_where(kOpen);
    if (open_result >= 0) ++open_descriptors;
    return open_result;
  }

  int ioctl(int descriptor, uint32_t request, void* argument) override {
    ++calls;
    if (descriptor != open_result) return -EBADF;
    if (request == 0xC0406400) return version(static_cast<uint8_t*>(argument));
    if (request != 0xC0106447) return -ENOTTY;
    uint32_t parameter = 0, buffer_bytes = 0;
    uint64_t buffer = 0;
    std::memcpy(&parameter, argument, 4);
    std::memcpy(&buffer_bytes, static_cast<uint8_t*>(argument) + 4, 4);
    std::memcpy(&buffer, static_cast<uint8_t*>(argument) + 8, 8);
    hang_where(parameter);
    if (const auto error = errors.find(parameter); error != errors.end()) return error->second;
    const auto answer = answers.find(parameter);
    if (answer == answers.end()) return -EOPNOTSUPP;
    if (buffer_bytes != answer->second.size()) return -EINVAL;
    std::memcpy(reinterpret_cast<void*>(buffer), answer->second.data(), answer->second.size());
    return 0;
  }

  void close(int) override { --open_descriptors; }

 private:
  static void append(Bytes& bytes, const Bytes& more) { bytes.insert(bytes.end(), more.begin(), more.end()); }
  template <class Number>
  static void append(Bytes& bytes, Number number) {
    for (size_t i = 0; i < sizeof(number); ++i) bytes.push_back(static_cast<uint8_t>(uint64_t{number} >> 8 * i));
  }

  static Bytes tile(uint16_t rows, uint16_t first_row) {
    return bytes_of(rows, first_row, uint16_t{2}, uint16_t{16}, uint16_t{128}, uint16_t{0}, uint32_t{0});
  }

  /// struct drm_version: three ints, four bytes of padding, then length and address of name, date and description.
  int version(uint8_t* argument) {
    hang_where(kVersion);
    const std::string name = "amdxdna_accel_driver";
    uint64_t name_bytes = 0, address = 0;
    std::memcpy(&name_bytes, argument + 16, 8);
    std::memcpy(&address, argument + 24, 8);
    std::memcpy(reinterpret_cast<void*>(address), name.data(), std::min<size_t>(name_bytes, name.size()));
    const Bytes numbers = bytes_of(uint32_t{0}, uint32_t{1}, uint32_t{0}, uint32_t{0}, uint64_t{name.size()});
    std::memcpy(argument, numbers.data(), numbers.size());
    return 0;
  }

  void hang_where(uint32_t place) {
    if (hang_at == place) release_.wait();
  }

  std::promise<void> released_;
  std::shared_future<void> release_ = released_.get_future().share();
};

}  // namespace hearth
