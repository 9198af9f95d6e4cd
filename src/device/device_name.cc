#include "device/device_name.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include "base/printable.h"

namespace hearth {
namespace {

struct Kind {
  std::string_view name;
  std::string_view which;    ///< what may stand behind a colon; empty where nothing may
  std::string_view options;  ///< likewise behind a comma
};
constexpr std::array<Kind, 5> kKinds = {{{"auto", "", ""},
                                         {"cpu", "", ""},
                                         {"vulkan", "Vulkan device", "memory=MIB and tune=SECONDS"},
                                         {"npu", "folder of kernels", "memory=MIB and xrt=LIBRARY"},
                                         {"reference", "", ""}}};

template <class T>
std::optional<T> number_in(std::string_view text) {
  T value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return {};
  return value;
}

Result<void> set_option(DeviceName& name, const Kind& kind, std::string_view key, std::string_view value) {
  constexpr uint64_t kMostMebibytes = uint64_t{1} << 40;
  if (key == "memory") {
    name.memory_mebibytes = number_in<uint64_t>(value);
    if (name.memory_mebibytes && *name.memory_mebibytes <= kMostMebibytes) return {};
  } else if (key == "xrt" && kind.name == "npu") {
    name.xrt = value;
    if (!value.empty()) return {};
    return fail(ErrorCode::invalid_argument, "xrt= of a device names no library");
  } else if (key == "tune" && kind.name == "vulkan") {
    name.tune_seconds = number_in<double>(value);
    if (name.tune_seconds && *name.tune_seconds >= 0 && std::isfinite(*name.tune_seconds)) return {};
  } else {
    return fail(ErrorCode::invalid_argument, fmt::format("{} has no option '{}'", kind.name, printable(key)),
                fmt::format("there are {}", kind.options));
  }
  return fail(ErrorCode::invalid_argument, fmt::format("{}={} of a device is no number of {}", key, printable(value),
                                                       key == "memory" ? "mebibytes" : "seconds"));
}

}  // namespace

std::optional<uint32_t> DeviceName::index() const { return number_in<uint32_t>(which); }

std::vector<std::string_view> split_device_names(std::string_view names) {
  std::vector<std::string_view> all;
  for (size_t begin = 0, end = 0; end != names.npos; begin = end + 1) {
    end = names.find('+', begin);
    all.push_back(names.substr(begin, end == names.npos ? end : end - begin));
  }
  return all;
}

Result<DeviceName> parse_device_name(std::string_view text) {
  DeviceName name;
  // Options stand behind the name, which may have commas of its own.
  const size_t equals = text.find('=');
  const size_t comma = equals == text.npos ? text.npos : text.rfind(',', equals);
  std::string_view device = text.substr(0, comma);
  const size_t colon = device.find(':');
  name.kind = device.substr(0, colon);
  if (colon != device.npos) name.which = device.substr(colon + 1);
  const auto kind = std::ranges::find(kKinds, name.kind, &Kind::name);
  if (kind == kKinds.end() || (colon != device.npos && kind->which.empty())) {
    return fail(ErrorCode::invalid_argument, fmt::format("no device is called '{}'", printable(device)),
                "use auto, cpu, vulkan, vulkan:N, vulkan:NAME, npu, npu:FOLDER or reference, or several joined by +");
  }
  if (colon != device.npos && name.which.empty()) {
    return fail(ErrorCode::invalid_argument, fmt::format("'{}' names no {}", printable(device), kind->which),
                name.kind == "npu" ? "use npu or npu:FOLDER" : "use vulkan, vulkan:0 or vulkan:NAME");
  }
  while (comma != text.npos && text.size() > device.size()) {
    const std::string_view rest = text.substr(device.size() + 1);
    const std::string_view option = rest.substr(0, rest.find(','));
    if (kind->options.empty()) {
      return fail(ErrorCode::invalid_argument, fmt::format("'{}' takes no options", name.kind),
                  "vulkan takes memory=MIB and tune=SECONDS, npu memory=MIB and xrt=LIBRARY");
    }
    const size_t sign = std::min(option.find('='), option.size());
    const std::string_view value = option.substr(std::min(sign + 1, option.size()));
    if (auto set = set_option(name, *kind, option.substr(0, sign), value); !set) return pass_on(set);
    device = text.substr(0, device.size() + 1 + option.size());
  }
  return name;
}

}  // namespace hearth
