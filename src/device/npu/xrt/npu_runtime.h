#pragma once

#include <chrono>
#include <cstddef>
#include <filesystem>
#include <future>
#include <memory>
#include <string>

#include "base/result.h"
#include "device/npu/call_thread.h"
#include "device/npu/xrt/xrt_functions.h"

namespace hearth {

struct XrtDevice;
struct XrtKernel;
struct XrtBuffer;

/// Memory that the host and the NPU share, zeroed by nobody. Freed, later, by the thread that talks to XRT.
class NpuBuffer {
 public:
  NpuBuffer() = default;  ///< none

  std::byte* data() const { return data_; }
  size_t bytes() const { return bytes_; }

 private:
  friend class NpuRuntime;

  std::shared_ptr<XrtBuffer> buffer_;
  std::byte* data_ = nullptr;
  size_t bytes_ = 0;
};

/// What one xclbin file computes, loaded on the NPU.
class NpuKernel {
 public:
  NpuKernel() = default;  ///< none

 private:
  friend class NpuRuntime;

  std::shared_ptr<XrtKernel> kernel_;
};

/// The files of a kernel as mlir-aie makes them.
struct NpuKernelFiles {
  std::filesystem::path xclbin;
  std::filesystem::path instructions;  ///< 32-bit words in binary, or in hexadecimal, one a line, where it ends in .txt
  std::string kernel;                  ///< the name in the xclbin
};

/// An NPU through XRT. Every call goes to a thread of its own, nobody waits for one longer than a limit, and what XRT
/// throws is an error. After a timed_out no call is made any more. For one thread at a time. Outlives its buffers and
/// kernels.
class NpuRuntime {
 public:
  /// `library` as load_xrt has it. Errors: unsupported (no XRT, too old), io (what XRT says), timed_out.
  static Result<std::unique_ptr<NpuRuntime>> open(const std::filesystem::path& library, const std::string& pci_address,
                                                  std::chrono::milliseconds limit);

  /// Errors: not_found, corrupt (no instructions), io (what XRT says of the files), timed_out.
  Result<NpuKernel> load(const NpuKernelFiles& files);

  /// The matrices of a product, by their arguments of a kernel of mlir-aie.
  enum class Argument : int { a = 3, b = 4, c = 5 };

  /// Errors: out_of_memory, timed_out.
  Result<NpuBuffer> allocate(const NpuKernel& kernel, Argument argument, size_t bytes);

  /// Makes what the host wrote into a buffer visible to the NPU. Errors: io, timed_out.
  Result<void> send(const NpuBuffer& buffer);

  /// Runs the kernel once, and makes what it wrote to `c` visible to the host. Errors: io (it failed), timed_out.
  Result<void> run(const NpuKernel& kernel, const NpuBuffer& a, const NpuBuffer& b, const NpuBuffer& c) {
    Run started = start(kernel, a, b, c);
    return wait(started);
  }

  /// The same in two halves, between which other runs may be started and buffers be read that this one does not have.
  using Run = std::future<Result<void>>;
  Run start(const NpuKernel& kernel, const NpuBuffer& a, const NpuBuffer& b, const NpuBuffer& c);
  Result<void> wait(Run& run) { return thread_.end("a kernel ran", run); }

 private:
  explicit NpuRuntime(std::chrono::milliseconds limit) : thread_(limit) {}

  template <class Object>
  std::shared_ptr<Object> freed_by_thread(std::unique_ptr<Object> object) const;

  CallThread thread_;
  std::shared_ptr<XrtDevice> device_;
};

}  // namespace hearth
