#include "device/device_name.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include "base/printable.h"

namespace hearth {
namespace {

constexpr std::array<std::string_view, 4> kKinds = {"auto", "cpu", "vulkan", "reference"};

template <class T>
std::optional<T> number_in(std::string_view text) {
  T value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return {};
  return value;
}

Result<void> set_option(DeviceName& name, std::string_view key, std::string_view value) {
  constexpr uint64_t kMostMebibytes = uint64_t{1} << 40;
  if (key == "memory") {
    name.memory_mebibytes = number_in<uint64_t>(value);
    if (name.memory_mebibytes && *name.memory_mebibytes <= kMostMebibytes) return {};
  } else if (key == "tune") {
    name.tune_seconds = number_in<double>(value);
    if (name.tune_seconds && *name.tune_seconds >= 0 && std::isfinite(*name.tune_seconds)) return {};
  } else {
    return fail(ErrorCode::invalid_argument, fmt::format("a device has no option '{}'", printable(key)),
                "there are memory=MIB and tune=SECONDS");
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
  const bool is_vulkan = name.kind == "vulkan";
  if (std::ranges::find(kKinds, name.kind) == kKinds.end() || (colon != device.npos && !is_vulkan)) {
    return fail(ErrorCode::invalid_argument, fmt::format("no device is called '{}'", printable(device)),
                "use auto, cpu, vulkan, vulkan:N, vulkan:NAME or reference, or several joined by +");
  }
  if (colon != device.npos && name.which.empty()) {
    return fail(ErrorCode::invalid_argument, fmt::format("'{}' names no Vulkan device", printable(device)),
                "use vulkan, vulkan:0 or vulkan:NAME");
  }
  while (comma != text.npos && text.size() > device.size()) {
    const std::string_view rest = text.substr(device.size() + 1);
    const std::string_view option = rest.substr(0, rest.find(','));
    if (!is_vulkan) {
      return fail(ErrorCode::invalid_argument, fmt::format("'{}' takes no options", name.kind),
                  "vulkan takes memory=MIB and tune=SECONDS");
    }
    const size_t sign = std::min(option.find('='), option.size());
    const std::string_view value = option.substr(std::min(sign + 1, option.size()));
    if (auto set = set_option(name, option.substr(0, sign), value); !set) return pass_on(set);
    device = text.substr(0, device.size() + 1 + option.size());
  }
  return name;
}

}  // namespace hearth
