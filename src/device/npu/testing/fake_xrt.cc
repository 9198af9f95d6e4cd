// A library in the place of libxrt_coreutil.so.2: of XRT's C++ API what hearth calls, under the names that XRT exports.
// Its NPU is the host's memory; a kernel multiplies what lies there. With HEARTH_FAKE_XRT_IS_OLD it is as an XRT that
// knows no hardware contexts.
#include <bit>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "device/npu/testing/fake_xrt_controls.h"

// The names are XRT's. NOLINTBEGIN(readability-identifier-naming)

#define EXPORTED __attribute__((visibility("default")))

using Controls = hearth::FakeXrtControls;
using Fault = Controls::Fault;

extern "C" EXPORTED Controls hearth_fake_xrt_controls;
Controls hearth_fake_xrt_controls;

enum xclBOSyncDirection : unsigned { XCL_BO_SYNC_BO_TO_DEVICE = 0, XCL_BO_SYNC_BO_FROM_DEVICE = 1 };
enum ert_cmd_state : unsigned { ERT_CMD_STATE_COMPLETED = 4, ERT_CMD_STATE_ERROR = 5, ERT_CMD_STATE_TIMEOUT = 8 };

namespace {

Controls& controls = hearth_fake_xrt_controls;

bool has(Fault fault) { return controls.fault == fault && controls.runs >= controls.faultless_runs; }

void hang_while(Fault fault) {
  while (has(fault)) std::this_thread::sleep_for(std::chrono::milliseconds(1));
}

struct Counted {
  Counted() { ++controls.objects; }
  ~Counted() { --controls.objects; }
  Counted(const Counted&) = delete;
};

float widened(uint16_t upper) { return std::bit_cast<float>(uint32_t{upper} << 16); }

uint16_t narrowed(float value) {
  const auto bits = std::bit_cast<uint32_t>(value);
  return static_cast<uint16_t>((bits + 0x7fffU + (bits >> 16 & 1U)) >> 16);
}

}  // namespace

namespace xrt {

struct uuid {
  unsigned char bytes[16] = {};
  uuid() = default;
  uuid(const uuid& other) { std::memcpy(bytes, other.bytes, sizeof(bytes)); }
};

struct xclbin_impl : Counted {
  size_t m = 0, k = 0, n = 0;
  std::string output, order;
};
struct device_impl : Counted {
  std::map<unsigned char, std::shared_ptr<xclbin_impl>> registered;
};
struct hw_context_impl : Counted {
  std::shared_ptr<xclbin_impl> xclbin;
};

/// What the host sees and what the NPU sees are apart, so that a sync that was forgotten shows.
struct bo_impl : Counted {
  explicit bo_impl(size_t bytes) : host(bytes), npu(bytes) { controls.buffer_bytes += static_cast<int64_t>(bytes); }
  ~bo_impl() { controls.buffer_bytes -= static_cast<int64_t>(host.size()); }
  std::vector<std::byte> host, npu;
};
struct kernel_impl : Counted {
  std::shared_ptr<hw_context_impl> context;
};
struct run_impl : Counted {
  std::shared_ptr<kernel_impl> kernel;
  uint64_t values[3] = {};
  std::map<int, std::shared_ptr<bo_impl>> buffers;

  void multiply() const;
};

void run_impl::multiply() const {
  const xclbin_impl& is = *kernel->context->xclbin;
  if (values[0] != 3 || values[2] * 4 != buffers.at(1)->npu.size()) throw std::runtime_error("no such instructions");
  const auto* const a = reinterpret_cast<const uint16_t*>(buffers.at(3)->npu.data());
  const auto* const b = reinterpret_cast<const uint16_t*>(buffers.at(4)->npu.data());
  std::byte* const c = buffers.at(5)->npu.data();
  std::vector<float> b_row(is.n);
  for (size_t row = 0; row < is.m; ++row) {
    std::vector<float> sums(is.n);
    for (size_t k = 0; k < is.k; ++k) {
      const float factor = widened(a[row * is.k + k]);
      for (size_t n = 0; n < is.n; ++n) sums[n] += factor * widened(b[is.order == "row" ? k * is.n + n : n * is.k + k]);
    }
    for (size_t n = 0; n < is.n; ++n) {
      const size_t index = row * is.n + n;
      if (is.output == "bf16") {
        reinterpret_cast<uint16_t*>(c)[index] = narrowed(sums[n]);
      } else {
        auto* const floats = reinterpret_cast<float*>(c);
        floats[index] = has(Fault::keeps_old_sums) ? floats[index] + sums[n] : sums[n];
        if (has(Fault::one_value_is_wrong) && index + 1 == is.m * is.n) floats[index] += 0.5F;
      }
    }
  }
}

class EXPORTED xclbin {
 public:
  explicit xclbin(const std::string& path);
  std::shared_ptr<xclbin_impl> impl;
};
xclbin::xclbin(const std::string& path) : impl(std::make_shared<xclbin_impl>()) {
  std::ifstream file(path);
  if (!(file >> impl->m >> impl->k >> impl->n >> impl->output >> impl->order)) {
    throw std::runtime_error("no xclbin: " + path);
  }
}

class EXPORTED device {
 public:
  explicit device(const std::string& pci_address);
  uuid register_xclbin(const xclbin& file);
  std::shared_ptr<device_impl> impl;
};
device::device(const std::string& pci_address) : impl(std::make_shared<device_impl>()) {
  hang_while(Fault::open_never_returns);
  if (has(Fault::open_throws) || pci_address != "0000:c5:00.1") throw std::runtime_error("No such device");
}
uuid device::register_xclbin(const xclbin& file) {
  uuid id;
  id.bytes[15] = static_cast<unsigned char>(impl->registered.size() + 1);
  impl->registered[id.bytes[15]] = file.impl;
  return id;
}

class EXPORTED hw_context {
 public:
  enum class access_mode : uint8_t { exclusive = 0, shared = 1 };
#ifndef HEARTH_FAKE_XRT_IS_OLD
  hw_context(const device& on, const uuid& id, access_mode mode);
#endif
  std::shared_ptr<hw_context_impl> impl;
};
#ifndef HEARTH_FAKE_XRT_IS_OLD
hw_context::hw_context(const device& on, const uuid& id, access_mode mode) : impl(std::make_shared<hw_context_impl>()) {
  if (mode != access_mode::shared) throw std::runtime_error("exclusive");
  impl->xclbin = on.impl->registered.at(id.bytes[15]);
}
#endif

class EXPORTED kernel {
 public:
  kernel(const hw_context& context, const std::string& name);
  int group_id(int argument) const;
  std::shared_ptr<kernel_impl> impl;
};
kernel::kernel(const hw_context& context, const std::string& name) : impl(std::make_shared<kernel_impl>()) {
  if (name != "MLIR_AIE") throw std::runtime_error("No such kernel '" + name + "'");
  impl->context = context.impl;
}
int kernel::group_id(int argument) const { return 0x100 + argument; }

class EXPORTED bo {
 public:
  enum class flags : uint32_t { cacheable = 1U << 24, host_only = 1U << 29 };
  bo(const device& on, size_t bytes, flags kind, uint32_t group);
  void* map();
  void sync(xclBOSyncDirection direction, size_t bytes, size_t offset);
  std::shared_ptr<bo_impl> impl;
};
bo::bo(const device& on, size_t bytes, flags kind, uint32_t group) {
  const bool is_right = group == 0x101 ? kind == flags::cacheable : kind == flags::host_only && group >= 0x103;
  if (!on.impl || !is_right) throw std::runtime_error("no such memory");
  if (has(Fault::allocation_throws)) throw std::bad_alloc();
  impl = std::make_shared<bo_impl>(bytes);
}
void* bo::map() { return impl->host.data(); }
void bo::sync(xclBOSyncDirection direction, size_t bytes, size_t offset) {
  auto& from = direction == XCL_BO_SYNC_BO_TO_DEVICE ? impl->host : impl->npu;
  auto& to = direction == XCL_BO_SYNC_BO_TO_DEVICE ? impl->npu : impl->host;
  std::memcpy(to.data() + offset, from.data() + offset, bytes);
}

class EXPORTED run {
 public:
  explicit run(const kernel& of);
  void set_arg_at_index(int index, const void* value, size_t bytes);
  void set_arg_at_index(int index, const bo& buffer);
  void start();
  ert_cmd_state wait(const std::chrono::milliseconds& limit) const;
  std::shared_ptr<run_impl> impl;
};
run::run(const kernel& of) : impl(std::make_shared<run_impl>()) { impl->kernel = of.impl; }
void run::set_arg_at_index(int index, const void* value, size_t bytes) {
  std::memcpy(&impl->values[index], value, bytes);
}
void run::set_arg_at_index(int index, const bo& buffer) { impl->buffers[index] = buffer.impl; }
void run::start() {
  if (has(Fault::start_throws)) throw std::runtime_error("the command queue is gone");
  if (!has(Fault::computes_nothing)) impl->multiply();
  ++controls.runs;
}
ert_cmd_state run::wait(const std::chrono::milliseconds&) const {
  hang_while(Fault::wait_never_returns);
  if (has(Fault::run_times_out)) return ERT_CMD_STATE_TIMEOUT;
  return has(Fault::run_fails) ? ERT_CMD_STATE_ERROR : ERT_CMD_STATE_COMPLETED;
}

}  // namespace xrt

// NOLINTEND(readability-identifier-naming)
