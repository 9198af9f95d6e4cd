#include "app/print_profile.h"

#include <fmt/format.h>

#include <iterator>
#include <optional>

namespace hearth::app {
namespace {

double gb_per_second(const ProfiledOperation& operation) {
  return operation.seconds > 0 ? static_cast<double>(operation.bytes) / operation.seconds / 1e9 : 0;
}

std::optional<double> share_of_bandwidth(const ProfiledOperation& operation, double bandwidth) {
  const double rate = gb_per_second(operation);
  if (bandwidth <= 0 || rate > bandwidth) return std::nullopt;
  return rate / bandwidth;
}

double rest_seconds(const ProfiledStep& step) {
  double rest = step.seconds;
  for (const ProfiledOperation& operation : step.operations) rest -= operation.seconds;
  return std::max(rest, 0.0);  // sums are rounded
}

}  // namespace

std::string profile_table(const ProfiledStep& step, double bandwidth) {
  std::string table = step.tokens > 1
                          ? fmt::format("prompt of {} tokens", step.tokens)
                          : fmt::format("decoding {} sequence{} behind {} tokens{}", step.sequences,
                                        step.sequences > 1 ? "s" : "", step.context, step.sequences > 1 ? " each" : "");
  table += fmt::format(": {:.3f} ms a step\n", step.seconds * 1e3);
  const auto out = std::back_inserter(table);
  fmt::format_to(out, "{:<28} {:>6} {:>9} {:>8} {:>9} {:>8} {:>10}\n", "operation", "times", "ms", "of step", "MB",
                 "GB/s", "of memory");
  for (const ProfiledOperation& operation : step.operations) {
    const auto share = share_of_bandwidth(operation, bandwidth);
    const std::string of_memory = share ? fmt::format("{:.0f} %", *share * 100) : bandwidth > 0 ? "in cache" : "";
    fmt::format_to(out, "{:<28} {:>6} {:>9.3f} {:>6.1f} % {:>9.2f} {:>8.1f} {:>10}\n", operation.name, operation.count,
                   operation.seconds * 1e3, operation.seconds / step.seconds * 100,
                   static_cast<double>(operation.bytes) / 1e6, gb_per_second(operation), of_memory);
  }
  const double rest = rest_seconds(step);
  fmt::format_to(out, "{:<28} {:>6} {:>9.3f} {:>6.1f} %\n", "preparing, waiting", "", rest * 1e3,
                 rest / step.seconds * 100);
  return table;
}

nlohmann::ordered_json profile_json(const ProfiledStep& step, double bandwidth) {
  auto operations = nlohmann::ordered_json::array();
  for (const ProfiledOperation& operation : step.operations) {
    operations.push_back({{"name", operation.name},
                          {"count", operation.count},
                          {"seconds", operation.seconds},
                          {"bytes", operation.bytes},
                          {"gb_per_second", gb_per_second(operation)},
                          {"share_of_step", operation.seconds / step.seconds},
                          {"share_of_bandwidth", nullptr}});
    if (const auto share = share_of_bandwidth(operation, bandwidth)) operations.back()["share_of_bandwidth"] = *share;
  }
  return {{"sequences", step.sequences},
          {"tokens", step.tokens},
          {"context", step.context},
          {"seconds", step.seconds},
          {"rest_seconds", rest_seconds(step)},
          {"operations", operations}};
}

}  // namespace hearth::app
