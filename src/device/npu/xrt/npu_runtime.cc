#include "device/npu/xrt/npu_runtime.h"

#include <fmt/format.h>

#include <cstring>
#include <exception>
#include <sstream>
#include <vector>

#include "base/file.h"
#include "base/printable.h"
#include "device/npu/xrt/xrt_object.h"

namespace hearth {
namespace {

// Of XRT's xrt/detail/xrt_mem.h and xrt/detail/ert.h.
constexpr uint32_t kCacheable = 1U << 24, kHostOnly = 1U << 29;
constexpr unsigned kToDevice = 0, kFromDevice = 1;
constexpr uint8_t kShared = 1;
constexpr unsigned kCompleted = 4, kTimedOut = 8;

// What a kernel of mlir-aie takes before its matrices (programming_examples/basic/matrix_multiplication, test.cpp).
constexpr int kOpcodeArgument = 0, kInstructionsArgument = 1, kInstructionCountArgument = 2;
constexpr uint32_t kRunInstructions = 3;

constexpr uint64_t kMostInstructionBytes = 64U << 20;

/// Does what may throw.
template <class Work>
Result<void> guarded(ErrorCode code, const std::string& what, Work&& work) {
  try {
    work();
    return {};
  } catch (const std::exception& thrown) {
    return fail(code, fmt::format("{}: XRT says: {}", what, printable(thrown.what(), 400)));
  } catch (...) {
    return fail(code, fmt::format("{}: XRT does not say why", what));
  }
}

Result<std::vector<uint32_t>> read_instructions(const std::filesystem::path& path) {
  auto content = read_whole_file(path, kMostInstructionBytes);
  if (!content) return pass_on(content);
  std::vector<uint32_t> words;
  bool is_whole = true;
  if (path.extension() == ".txt") {
    std::istringstream lines(*content);
    for (uint32_t word = 0; lines >> std::hex >> word;) words.push_back(word);
    is_whole = lines.eof();
  } else {
    words.resize(content->size() / sizeof(uint32_t));
    std::memcpy(words.data(), content->data(), words.size() * sizeof(uint32_t));
    is_whole = content->size() % sizeof(uint32_t) == 0;
  }
  if (words.empty() || !is_whole) {
    return fail(ErrorCode::corrupt,
                fmt::format("{}: these are no instructions of 32 bits", printable(path.native(), 400)),
                "take the file that mlir-aie wrote beside the xclbin (--aie-generate-npu-insts)");
  }
  return words;
}

}  // namespace

struct XrtDevice {
  XrtFunctions xrt;
  XrtObject object;
};

struct XrtBuffer {
  std::shared_ptr<XrtDevice> device;
  XrtObject object;
  std::byte* data = nullptr;
  size_t bytes = 0;

  /// Throws.
  void make(uint32_t flags, int group) {
    const XrtFunctions& xrt = device->xrt;
    object.make([&](void* to) { xrt.allocate(to, device->object.get(), bytes, flags, static_cast<uint32_t>(group)); });
    data = static_cast<std::byte*>(xrt.map(object.get()));
  }
};

/// Members are destroyed from the last to the first.
struct XrtKernel {
  std::shared_ptr<XrtDevice> device;
  std::string name;
  XrtObject xclbin, context, kernel;
  XrtBuffer instructions;
  uint32_t instruction_count = 0;
  XrtObject run;

  /// Throws.
  void make(const NpuKernelFiles& files, const std::vector<uint32_t>& words) {
    const XrtFunctions& xrt = device->xrt;
    xclbin.make([&](void* to) { xrt.read_xclbin(to, files.xclbin.string()); });
    const XrtUuid id = xrt.register_xclbin(device->object.get(), xclbin.get());
    context.make([&](void* to) { xrt.create_context(to, device->object.get(), id, kShared); });
    kernel.make([&](void* to) { xrt.open_kernel(to, context.get(), files.kernel); });
    instructions.device = device;
    instructions.bytes = words.size() * sizeof(uint32_t);
    instructions.make(kCacheable, xrt.group_of_argument(kernel.get(), kInstructionsArgument));
    std::memcpy(instructions.data, words.data(), instructions.bytes);
    xrt.sync(instructions.object.get(), kToDevice, instructions.bytes, 0);
    instruction_count = static_cast<uint32_t>(words.size());
    run.make([&](void* to) { xrt.create_run(to, kernel.get()); });
    xrt.set_value(run.get(), kOpcodeArgument, &kRunInstructions, sizeof(kRunInstructions));
    xrt.set_buffer(run.get(), kInstructionsArgument, instructions.object.get());
    xrt.set_value(run.get(), kInstructionCountArgument, &instruction_count, sizeof(instruction_count));
  }
};

/// Whoever lets go of it last does not wait for what frees it.
template <class Object>
std::shared_ptr<Object> NpuRuntime::freed_by_thread(std::unique_ptr<Object> object) const {
  return {object.release(), [queue = thread_.queue()](Object* gone) { queue->post([gone] { delete gone; }); }};
}

Result<std::unique_ptr<NpuRuntime>> NpuRuntime::open(const std::filesystem::path& library,
                                                     const std::string& pci_address, std::chrono::milliseconds limit) {
  std::unique_ptr<NpuRuntime> runtime(new NpuRuntime(limit));
  runtime->device_ = runtime->freed_by_thread(std::make_unique<XrtDevice>());
  const auto work = [library, pci_address, device = runtime->device_]() -> Result<void> {
    auto xrt = load_xrt(library);
    if (!xrt) return pass_on(xrt);
    device->xrt = *xrt;
    return guarded(ErrorCode::io, fmt::format("the NPU at {} could not be opened", pci_address),
                   [&] { device->object.make([&](void* to) { device->xrt.open_device(to, pci_address); }); });
  };
  if (auto opened = runtime->thread_.call("it was opened", work); !opened) return pass_on(opened);
  return runtime;
}

Result<NpuKernel> NpuRuntime::load(const NpuKernelFiles& files) {
  const auto work = [files, device = device_, queue = thread_.queue()]() -> Result<std::unique_ptr<XrtKernel>> {
    auto words = read_instructions(files.instructions);
    if (!words) return pass_on(words);
    auto kernel = std::make_unique<XrtKernel>();
    kernel->device = device;
    kernel->name = fmt::format("{} of {}", printable(files.kernel), printable(files.xclbin.native(), 400));
    auto made = guarded(ErrorCode::io, kernel->name + " could not be loaded", [&] { kernel->make(files, *words); });
    if (!made) return pass_on(made);
    return kernel;
  };
  auto loaded = thread_.call("a kernel was loaded", work);
  if (!loaded) return pass_on(loaded);
  NpuKernel kernel;
  kernel.kernel_ = freed_by_thread(std::move(*loaded));
  return kernel;
}

Result<NpuBuffer> NpuRuntime::allocate(const NpuKernel& kernel, Argument argument, size_t bytes) {
  const auto work = [of = kernel.kernel_, argument, bytes]() -> Result<std::unique_ptr<XrtBuffer>> {
    auto buffer = std::make_unique<XrtBuffer>();
    buffer->device = of->device;
    buffer->bytes = bytes;
    auto made = guarded(ErrorCode::out_of_memory, fmt::format("{} bytes for {} were refused", bytes, of->name), [&] {
      buffer->make(kHostOnly, of->device->xrt.group_of_argument(of->kernel.get(), static_cast<int>(argument)));
    });
    if (!made) return pass_on(made);
    return buffer;
  };
  auto made = thread_.call("memory was allocated", work);
  if (!made) return pass_on(made);
  NpuBuffer buffer;
  buffer.data_ = (*made)->data;
  buffer.bytes_ = bytes;
  buffer.buffer_ = freed_by_thread(std::move(*made));
  return buffer;
}

Result<void> NpuRuntime::send(const NpuBuffer& buffer) {
  return thread_.call("memory was handed over", [to = buffer.buffer_] {
    return guarded(ErrorCode::io, "memory could not be handed to the NPU",
                   [&] { to->device->xrt.sync(to->object.get(), kToDevice, to->bytes, 0); });
  });
}

NpuRuntime::Run NpuRuntime::start(const NpuKernel& kernel, const NpuBuffer& a, const NpuBuffer& b, const NpuBuffer& c) {
  const auto work = [of = kernel.kernel_, a = a.buffer_, b = b.buffer_, c = c.buffer_,
                     limit = thread_.limit()]() -> Result<void> {
    const XrtFunctions& xrt = of->device->xrt;
    unsigned state = 0;
    auto ran = guarded(ErrorCode::io, of->name + " failed", [&] {
      xrt.set_buffer(of->run.get(), static_cast<int>(Argument::a), a->object.get());
      xrt.set_buffer(of->run.get(), static_cast<int>(Argument::b), b->object.get());
      xrt.set_buffer(of->run.get(), static_cast<int>(Argument::c), c->object.get());
      xrt.start(of->run.get());
      state = xrt.wait(of->run.get(), limit);
      if (state == kCompleted) xrt.sync(c->object.get(), kFromDevice, c->bytes, 0);
    });
    if (!ran || state == kCompleted) return ran;
    if (state == kTimedOut) {
      return fail(ErrorCode::timed_out, fmt::format("{} did not end within {:.1f} s", of->name,
                                                    std::chrono::duration<double>(limit).count()));
    }
    return fail(ErrorCode::io, fmt::format("{} ended in state {} instead of 4 (completed)", of->name, state));
  };
  return thread_.begin(work);
}

}  // namespace hearth
