#include "device/npu/npu_kernels.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <tuple>

#include "base/file.h"
#include "base/json.h"
#include "base/printable.h"

namespace hearth {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

constexpr const char* kPage = "docs/devices.md describes the file and how kernels are made";
constexpr uint32_t kMostOfASide = 1U << 16;

/// One entry of the list, whose errors name the file and the entry.
class Entry {
 public:
  Entry(const fs::path& file, size_t index, const Json& json)
      : where_(fmt::format("{}: kernel {}", printable(file.native(), 400), index)),
        folder_(file.parent_path()),
        json_(json) {}

  Result<NpuKernelSpec> read() {
    if (!json_.is_object()) return wrong(ErrorCode::corrupt, "is no object");
    for (const auto& [key, value] : json_.items()) {
      constexpr std::array kKeys = {"xclbin", "instructions", "kernel", "m", "k", "n", "input", "output", "b"};
      if (std::ranges::find(kKeys, key) == kKeys.end()) {
        return wrong(ErrorCode::unsupported, fmt::format("has a key '{}' that hearth does not know", printable(key)));
      }
    }
    NpuKernelSpec spec;
    spec.files = {file("xclbin"), file("instructions"), text("kernel", "MLIR_AIE")};
    spec.m = side("m");
    spec.k = side("k");
    spec.n = side("n");
    one_of("input", {"bf16"});
    spec.output_is_bf16 = one_of("output", {"f32", "bf16"}) == "bf16";
    spec.b_is_transposed = one_of("b", {"row-major", "column-major"}) == "column-major";
    if (error_) return std::unexpected(*error_);
    return spec;
  }

 private:
  std::unexpected<Error> wrong(ErrorCode code, const std::string& what) const {
    return fail(code, fmt::format("{} {}", where_, what), kPage);
  }
  void note(ErrorCode code, const std::string& what) {
    if (!error_) error_ = wrong(code, what).error();
  }

  /// Without a default the key must be there.
  std::string text(const char* key, const char* otherwise = nullptr) {
    const auto found = json_.find(key);
    if (found != json_.end() && found->is_string() && !found->get_ref<const std::string&>().empty()) return *found;
    if (found != json_.end() || otherwise == nullptr) {
      note(ErrorCode::corrupt, fmt::format("needs a text as '{}'", key));
      return {};
    }
    return otherwise;
  }

  fs::path file(const char* key) {
    const std::string name = text(key);
    fs::path path = folder_ / name;
    std::error_code error;
    if (!name.empty() && !fs::is_regular_file(path, error)) {
      note(ErrorCode::not_found, fmt::format("names a file that is not there: {}", printable(path.native(), 400)));
    }
    return path;
  }

  uint32_t side(const char* key) {
    const auto found = json_.find(key);
    const bool is_side = found != json_.end() && found->is_number_unsigned() && *found > 0U && *found <= kMostOfASide;
    if (is_side) return *found;
    note(ErrorCode::corrupt, fmt::format("needs a number from 1 to {} as '{}'", kMostOfASide, key));
    return 0;
  }

  std::string one_of(const char* key, std::initializer_list<std::string_view> known) {
    std::string value = text(key);
    if (std::ranges::find(known, value) != known.end()) return value;
    std::string all;
    for (const std::string_view each : known) all += fmt::format("{}'{}'", all.empty() ? "" : " or ", each);
    note(ErrorCode::unsupported, fmt::format("has '{}' as '{}', and hearth only knows {}", printable(value), key, all));
    return {};
  }

  const std::string where_;
  const fs::path folder_;
  const Json& json_;
  std::optional<Error> error_;  ///< the first
};

uint64_t rounded_up(uint64_t value, uint64_t multiple) { return (value + multiple - 1) / multiple * multiple; }

}  // namespace

std::string name_of(const NpuKernelSpec& kernel) {
  return fmt::format("{} x {} x {} bf16 to {}", kernel.m, kernel.k, kernel.n, kernel.output_is_bf16 ? "bf16" : "f32");
}

Result<std::vector<NpuKernelSpec>> read_npu_kernels(const fs::path& folder) {
  const fs::path file = folder / "kernels.json";
  auto content = read_whole_file(file, 1U << 20);
  if (!content && content.error().code == ErrorCode::not_found) {
    return fail(ErrorCode::not_found,
                fmt::format("there are no kernels for the NPU: {} is not there", printable(file.native(), 400)),
                fmt::format("{}; npu:FOLDER takes them from another folder", kPage));
  }
  if (!content) return pass_on(content);
  const auto json = parse_json(*content, file.string());
  if (!json) return std::unexpected(json.error());
  const auto list = json->is_object() ? json->find("kernels") : json->end();
  if (!json->is_object() || list == json->end() || !list->is_array() || list->empty() || json->size() != 1) {
    return fail(ErrorCode::corrupt,
                fmt::format("{} is no object with a list of 'kernels' and nothing else", printable(file.native(), 400)),
                kPage);
  }
  std::vector<NpuKernelSpec> kernels;
  for (const Json& each : *list) {
    auto kernel = Entry(file, kernels.size(), each).read();
    if (!kernel) return pass_on(kernel);
    kernels.push_back(std::move(*kernel));
  }
  return kernels;
}

size_t best_kernel(std::span<const NpuKernelSpec> kernels, uint32_t rows, uint32_t cols) {
  const auto cost = [&](const NpuKernelSpec& kernel) {
    const uint64_t padded = rounded_up(rows, kernel.n) * rounded_up(cols, kernel.k);
    return std::tuple(padded, UINT64_MAX - uint64_t{kernel.m} * kernel.k * kernel.n);
  };
  return static_cast<size_t>(std::ranges::min_element(kernels, {}, cost) - kernels.begin());
}

fs::path usual_npu_kernels() {
  if (const char* data = std::getenv("XDG_DATA_HOME"); data != nullptr && *data == '/') {
    return fs::path(data) / "hearth" / "npu";
  }
  const char* home = std::getenv("HOME");
  return home != nullptr && *home == '/' ? fs::path(home) / ".local" / "share" / "hearth" / "npu" : "";
}

}  // namespace hearth
