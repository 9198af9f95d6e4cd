#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <vector>

#include "base/result.h"
#include "device/vulkan/gpu/gpu_properties.h"

namespace hearth::vulkan {

/// A file in which a driver's compiled pipelines outlive the process: one for each device, driver and set of shaders.
/// What comes from a file is never trusted: a driver given damaged data may crash, so a checksum stands before it.
class PipelineCacheFile {
 public:
  /// Keeps nothing.
  PipelineCacheFile() = default;
  /// In `folder`, which is made when something is written; an empty one keeps nothing. `shaders` is a hash of the code.
  PipelineCacheFile(const std::filesystem::path& folder, const GpuProperties& properties, uint64_t shaders);

  /// What was written last for this device, driver and code; empty when there is nothing, or nothing whole.
  std::vector<std::byte> read() const;

  /// Replaces the file at once, so that another process reads the old or the new one. Errors: io.
  Result<void> write(std::span<const std::byte> data) const;

  const std::filesystem::path& path() const { return path_; }  ///< empty when nothing is kept

 private:
  struct Header {
    std::array<char, 8> magic = {'h', 'e', 'a', 'r', 't', 'h', 'P', '1'};
    uint32_t vendor_id = 0, device_id = 0, driver_version = 0, unused = 0;
    std::array<uint8_t, VK_UUID_SIZE> uuid = {};
    uint64_t shaders = 0;
    uint64_t data_bytes = 0;
    uint64_t data_hash = 0;
    bool operator==(const Header&) const = default;
  };
  static_assert(sizeof(Header) == 64);  // no padding: it is written as it is

  Header header_;
  std::filesystem::path path_;
};

}  // namespace hearth::vulkan
