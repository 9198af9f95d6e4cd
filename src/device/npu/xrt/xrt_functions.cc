#include "device/npu/xrt/xrt_functions.h"

#include <cxxabi.h>
#include <dlfcn.h>
#include <fmt/format.h>

#include <cstdlib>
#include <memory>
#include <optional>

#include "base/printable.h"

namespace hearth {
namespace {

constexpr const char* kLibrary = "libxrt_coreutil.so.2";
constexpr const char* kUsualPlace = "/opt/xilinx/xrt/lib/libxrt_coreutil.so.2";  // where AMD's packages put it
constexpr const char* kHowToGetIt = "install XRT and its plugin for NPUs (github.com/amd/xdna-driver says how)";

/// Looks up what it is given, and remembers the first that is not there.
class Symbols {
 public:
  explicit Symbols(void* library) : library_(library) {}

  template <class Function>
  void find(Function& function, const char* symbol) {
    void* const address = dlsym(library_, symbol);
    if (address == nullptr && !missing_) missing_ = symbol;
    function = reinterpret_cast<Function>(address);
  }

  const std::optional<std::string>& missing() const { return missing_; }

 private:
  void* library_;
  std::optional<std::string> missing_;
};

/// "xrt::kernel::group_id(int) const"
std::string readable(const std::string& symbol) {
  const std::unique_ptr<char, decltype(&std::free)> name(abi::__cxa_demangle(symbol.c_str(), nullptr, nullptr, nullptr),
                                                         &std::free);
  return name ? name.get() : symbol;
}

void find_all(Symbols& in, XrtFunctions& xrt) {
#define HEARTH_STRING "RKNSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEE"
  in.find(xrt.open_device, "_ZN3xrt6deviceC1E" HEARTH_STRING);
  in.find(xrt.register_xclbin, "_ZN3xrt6device15register_xclbinERKNS_6xclbinE");
  in.find(xrt.read_xclbin, "_ZN3xrt6xclbinC1E" HEARTH_STRING);
  in.find(xrt.create_context, "_ZN3xrt10hw_contextC1ERKNS_6deviceERKNS_4uuidENS0_11access_modeE");
  in.find(xrt.open_kernel, "_ZN3xrt6kernelC1ERKNS_10hw_contextE" HEARTH_STRING);
  in.find(xrt.group_of_argument, "_ZNK3xrt6kernel8group_idEi");
  in.find(xrt.allocate, "_ZN3xrt2boC1ERKNS_6deviceEmNS0_5flagsEj");
  in.find(xrt.map, "_ZN3xrt2bo3mapEv");
  in.find(xrt.sync, "_ZN3xrt2bo4syncE18xclBOSyncDirectionmm");
  in.find(xrt.create_run, "_ZN3xrt3runC1ERKNS_6kernelE");
  in.find(xrt.set_value, "_ZN3xrt3run16set_arg_at_indexEiPKvm");
  in.find(xrt.set_buffer, "_ZN3xrt3run16set_arg_at_indexEiRKNS_2boE");
  in.find(xrt.start, "_ZN3xrt3run5startEv");
  in.find(xrt.wait, "_ZNK3xrt3run4waitERKNSt6chrono8durationIlSt5ratioILl1ELl1000EEEE");
#undef HEARTH_STRING
}

}  // namespace

Result<XrtFunctions> load_xrt(const std::filesystem::path& library) {
  std::string path = library.empty() ? kLibrary : library.string();
  void* loaded = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  const std::string why = loaded == nullptr ? dlerror() : "";
  if (loaded == nullptr && library.empty()) loaded = dlopen((path = kUsualPlace).c_str(), RTLD_NOW | RTLD_LOCAL);
  if (loaded == nullptr) {
    return fail(ErrorCode::unsupported,
                fmt::format("XRT, through which NPUs compute, is not there: {}", printable(why, 400)), kHowToGetIt);
  }
  XrtFunctions xrt;
  Symbols symbols(loaded);
  find_all(symbols, xrt);
  if (symbols.missing()) {
    return fail(ErrorCode::unsupported,
                fmt::format("{} has no {} ({}): it is older than what NPUs need, or not XRT", printable(path, 400),
                            readable(*symbols.missing()), *symbols.missing()),
                kHowToGetIt);
  }
  return xrt;
}

}  // namespace hearth
