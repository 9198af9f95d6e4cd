#include "device/vulkan/bench/report.h"

#include <fmt/format.h>

#include <map>
#include <set>
#include <string>

#include "device/vulkan/pipelines/pipeline_statistics.h"

namespace hearth::vulkan {
namespace {

/// The matmul that a launch is for, where it is for one, and its shader and size.
std::string name_of_launch(const VulkanProgram& program, const DispatchTime& time) {
  const Operation& operation = program.recording().operations[time.operation];
  const std::string shape = matmul_shape(program.recording(), program.weights(), operation);
  return fmt::format("{}{}{} {}x{}x{}", shape, shape.empty() ? "" : ": ", time.shader, time.groups.x, time.groups.y,
                     time.groups.z);
}

}  // namespace

void print_profile(VulkanProgram& program, const Step& step) {
  constexpr int kRuns = 5;
  std::map<std::string, std::pair<double, uint32_t>> sums;
  double all = 0;
  for (int run = 0; run <= kRuns; ++run) {
    const auto times = program.profile_dispatches(step.input());
    if (!times) {
      fmt::print("no profile: {}\n", to_string(times.error()));
      return;
    }
    if (run == 0) continue;  // the first one records
    for (const DispatchTime& time : *times) {
      auto& sum = sums[name_of_launch(program, time)];
      sum.first += time.microseconds;
      ++sum.second;
      all += time.microseconds;
    }
  }
  for (const auto& [name, sum] : sums) {
    fmt::print("    {:64} {:5} x {:8.2f} us = {:9.1f} us, {:4.1f} %\n", name, sum.second / kRuns,
               sum.first / sum.second, sum.first / kRuns, 100 * sum.first / all);
  }
}

void print_statistics(VulkanProgram& program, const Step& step, uint32_t device) {
  const auto gpu = Gpu::open({.choice = {.index = device}});
  const auto pipelines = gpu ? Pipelines::create(**gpu, true) : Result<std::unique_ptr<Pipelines>>();
  const auto counts =
      program.statistics(static_cast<uint32_t>(step.ids.size()), static_cast<uint32_t>(step.logit_rows.size()));
  if (!gpu || !pipelines || !counts) return fmt::print("    no statistics\n");
  std::set<PipelineKey> keys;
  for (const Launch& launch : counts->launches) keys.insert(launch.key);
  for (const PipelineKey& key : keys) {
    const auto pipeline = (*pipelines)->get(key);
    const auto statistics = pipeline ? pipeline_statistics(**gpu, *pipeline) : std::unexpected<Error>(pipeline.error());
    fmt::print("    {} {} threads:", name_of(key.shader), key.threads);
    if (!statistics) return fmt::print(" {}\n", to_string(statistics.error()));
    for (const auto& [name, value] : statistics->values) fmt::print(" {} {},", name, value);
    fmt::print("\n");
  }
}

void print_choices(VulkanProgram& program) {
  const auto choices = program.choices();
  if (!choices) return fmt::print("    no choices: {}\n", to_string(choices.error()));
  for (const OperationChoice& choice : *choices) {
    if (choice.microseconds == 0) continue;
    fmt::print("    {}, {} tokens: {:.1f} us, the table's {:.1f} us; {}\n", choice.operation, choice.tokens,
               choice.microseconds, choice.table_microseconds, choice.tuning);
  }
}

}  // namespace hearth::vulkan
