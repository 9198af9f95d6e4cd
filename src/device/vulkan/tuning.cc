#include "device/vulkan/tuning.h"

#include <fmt/format.h>

#include <charconv>
#include <map>
#include <string>

namespace hearth::vulkan {
namespace {

std::map<std::string, uint32_t*, std::less<>> fields(Tuning& tuning) {
  std::map<std::string, uint32_t*, std::less<>> all = {
      {"few_tokens_limit", &tuning.few_tokens_limit},         {"short_rows", &tuning.short_rows},
      {"attention_threads", &tuning.attention_threads},       {"attention_keys", &tuning.attention_keys},
      {"attention_split_keys", &tuning.attention_split_keys}, {"attention_workgroups", &tuning.attention_workgroups},
  };
  const auto add = [&](const std::string& name, FewTokensTuning& few) {
    all[name + ".subgroups"] = &few.subgroups;
    all[name + ".rows"] = &few.rows;
    all[name + ".split"] = &few.split;
    all[name + ".unroll"] = &few.unroll;
  };
  add("linear", tuning.linear);
  add("short_linear", tuning.short_linear);
  add("logits", tuning.logits);
  add("gate_up", tuning.gate_up);
  return all;
}

}  // namespace

Result<void> change_tuning(std::string_view changes, Tuning& tuning) {
  const auto all = fields(tuning);
  while (!changes.empty()) {
    const std::string_view change = changes.substr(0, changes.find(','));
    changes.remove_prefix(std::min(changes.size(), change.size() + 1));
    const size_t equals = change.find('=');
    const auto field = all.find(change.substr(0, equals));
    uint32_t value = 0;
    const std::string_view number = equals == change.npos ? std::string_view() : change.substr(equals + 1);
    const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), value);
    if (field == all.end() || error != std::errc() || end != number.data() + number.size() || value == 0) {
      return fail(ErrorCode::invalid_argument, fmt::format("'{}' is no tuning", change));
    }
    *field->second = value;
  }
  return {};
}

}  // namespace hearth::vulkan
