#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>

#include "device/npu/npu_driver.h"

namespace hearth {
namespace {

class KernelNpuDriver final : public NpuDriver {
 public:
  int open(const std::filesystem::path& node) override {
    const int descriptor = ::open(node.c_str(), O_RDWR | O_CLOEXEC);
    return descriptor >= 0 ? descriptor : -errno;
  }

  int ioctl(int descriptor, uint32_t request, void* argument) override {
    int result = 0;
    do {
      result = ::ioctl(descriptor, static_cast<unsigned long>(request), argument);
    } while (result != 0 && errno == EINTR);
    return result == 0 ? 0 : -errno;
  }

  void close(int descriptor) override { ::close(descriptor); }
};

}  // namespace

std::shared_ptr<NpuDriver> kernel_npu_driver() { return std::make_shared<KernelNpuDriver>(); }

}  // namespace hearth
