#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>

#include "base/result.h"

namespace hearth {

/// xrt::uuid: returned through memory, as it is not trivial to copy there either.
struct XrtUuid {
  unsigned char bytes[16] = {};

  XrtUuid() = default;
  XrtUuid(const XrtUuid& other) { *this = other; }
  XrtUuid& operator=(const XrtUuid& other) = default;
};

/// XRT's C++ API as far as an NPU needs it, by address: its C API has no hardware contexts, without which no NPU runs
/// anything. Member functions are called as functions of `this`, which is what the Itanium C++ ABI makes of them;
/// constructors fill raw memory of the object's size (xrt_object.h). All may throw. Declared in
/// XRT's src/runtime_src/core/include/xrt (xrt_device.h, xrt_hw_context.h, xrt_kernel.h, xrt_bo.h,
/// experimental/xrt_xclbin.h), with the same signatures from the end of 2022 (XRT 2.15) until August 2026 at least.
struct XrtFunctions {
  void (*open_device)(void* device, const std::string& pci_address) = nullptr;
  XrtUuid (*register_xclbin)(void* device, const void* xclbin) = nullptr;

  void (*read_xclbin)(void* xclbin, const std::string& path) = nullptr;

  void (*create_context)(void* context, const void* device, const XrtUuid& xclbin, uint8_t access_mode) = nullptr;

  void (*open_kernel)(void* kernel, const void* context, const std::string& name) = nullptr;
  int (*group_of_argument)(const void* kernel, int argument) = nullptr;  ///< the memory that its buffers live in

  void (*allocate)(void* buffer, const void* device, size_t bytes, uint32_t flags, uint32_t group) = nullptr;
  void* (*map)(void* buffer) = nullptr;
  void (*sync)(void* buffer, unsigned direction, size_t bytes, size_t offset) = nullptr;

  void (*create_run)(void* run, const void* kernel) = nullptr;
  void (*set_value)(void* run, int argument, const void* value, size_t bytes) = nullptr;
  void (*set_buffer)(void* run, int argument, const void* buffer) = nullptr;
  void (*start)(void* run) = nullptr;
  unsigned (*wait)(const void* run, const std::chrono::milliseconds& limit) = nullptr;  ///< a state of a command
};

/// Loads XRT's library: `library`, or where that is empty libxrt_coreutil.so.2 as the system finds it, then the one in
/// /opt/xilinx/xrt/lib. It stays loaded. Errors: unsupported, naming what is missing: the library, or a function that
/// an older one does not have.
Result<XrtFunctions> load_xrt(const std::filesystem::path& library);

}  // namespace hearth
