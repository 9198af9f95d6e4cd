#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>

namespace hearth {

/// The kernel's driver of an NPU, as far as hearth calls it: all that goes to the device goes through here, so that
/// tests answer in its place. Every call may hang for as long as the driver likes. Thread-safe, one call at a time for
/// each descriptor.
class NpuDriver {
 public:
  virtual ~NpuDriver() = default;

  /// A descriptor of the node, or the negative error number.
  virtual int open(const std::filesystem::path& node) = 0;

  /// 0, or the negative error number. `argument` is the request's structure (npu_protocol.h), read and written.
  virtual int ioctl(int descriptor, uint32_t request, void* argument) = 0;

  virtual void close(int descriptor) = 0;
};

/// The real one. Shared, as a thread that hangs in a call keeps it.
std::shared_ptr<NpuDriver> kernel_npu_driver();

}  // namespace hearth
