#pragma once

#include <dlfcn.h>

#include <memory>
#include <string>

#include "base/testing/temporary_tree.h"
#include "device/npu/npu_device.h"
#include "device/npu/testing/fake_xrt_controls.h"
#include "device/testing/made_npu.h"

namespace hearth {

/// The controls of the fake XRT library at `path`, which stays loaded.
inline FakeXrtControls& fake_xrt_controls(const char* path) {
  void* const library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  return *static_cast<FakeXrtControls*>(dlsym(library, "hearth_fake_xrt_controls"));
}

/// A kernel of the fake XRT.
struct MadeNpuKernel {
  uint32_t m = 64, k = 64, n = 64;
  std::string output = "f32", b = "column-major";
};

/// A machine with a usable NPU, a folder of kernels and an XRT that computes on the host.
class MadeNpuMachine {
 public:
  explicit MadeNpuMachine(const char* xrt, const std::vector<MadeNpuKernel>& kernels = {{}}) : xrt_(xrt) {
    made_npus().front().make(tree_, *driver_);
    tree_.write("proc/meminfo", "MemTotal: 16777216 kB\nMemFree: 8388608 kB\nMemAvailable: 8388608 kB\n");
    std::string list;
    for (const MadeNpuKernel& kernel : kernels) list += (list.empty() ? "" : ",\n") + add(kernel);
    tree_.write("kernels/kernels.json", "{\"kernels\": [" + list + "]}");
    controls().fault = FakeXrtControls::Fault::none;
    controls().faultless_runs = 0;
    controls().runs = 0;
  }

  /// Whatever hangs in the library comes back.
  ~MadeNpuMachine() { controls().fault = FakeXrtControls::Fault::none; }

  const TemporaryTree& tree() const { return tree_; }
  FakeNpuDriver& driver() { return *driver_; }
  FakeXrtControls& controls() const { return fake_xrt_controls(xrt_.c_str()); }

  NpuOptions options() const {
    return {.kernels = tree_.root() / "kernels",
            .xrt_library = xrt_,
            .root = tree_.root(),
            .driver = driver_,
            .patience = std::chrono::seconds(20)};
  }

  /// Where every product of so many tokens and more is the NPU's.
  NpuOptions options(uint32_t takes_from_tokens) const {
    NpuOptions options = this->options();
    options.takes_from_tokens = takes_from_tokens;
    return options;
  }

  /// A clock or counter that is made up: at each reading so much has passed, by whether a kernel ran since the last
  /// one.
  std::function<double()> counter(double of_processor, double of_npu) const {
    return [&controls = controls(), total = 0.0, seen = 0, of_processor, of_npu]() mutable {
      const bool was_npu = controls.runs != seen;
      seen = controls.runs;
      return total += was_npu ? of_npu : of_processor;
    };
  }

 private:
  /// Its files, and its entry in the list.
  std::string add(const MadeNpuKernel& kernel) {
    const std::string name = "mm" + std::to_string(++count_);
    const std::string sides =
        std::to_string(kernel.m) + " " + std::to_string(kernel.k) + " " + std::to_string(kernel.n);
    tree_.write("kernels/" + name + ".xclbin",
                sides + " " + kernel.output + (kernel.b == "row-major" ? " row" : " column"));
    tree_.write("kernels/" + name + ".bin", std::string(64, 'i'));
    return "{\"xclbin\": \"" + name + ".xclbin\", \"instructions\": \"" + name +
           ".bin\", \"m\": " + std::to_string(kernel.m) + ", \"k\": " + std::to_string(kernel.k) +
           ", \"n\": " + std::to_string(kernel.n) + ", \"input\": \"bf16\", \"output\": \"" + kernel.output +
           "\", \"b\": \"" + kernel.b + "\"}";
  }

  const std::string xrt_;
  int count_ = 0;
  TemporaryTree tree_;
  std::shared_ptr<FakeNpuDriver> driver_ = std::make_shared<FakeNpuDriver>();
};

}  // namespace hearth
