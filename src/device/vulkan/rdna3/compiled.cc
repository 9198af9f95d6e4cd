#include "device/vulkan/rdna3/compiled.h"

#include <fmt/format.h>

#include <array>

#include "device/vulkan/pipelines/pipeline_name.h"
#include "device/vulkan/pipelines/pipeline_statistics.h"

namespace hearth::vulkan {
namespace {

/// Columns that are the driver's own numbers.
constexpr std::array<std::pair<const char*, const char*>, 8> kDriverColumns = {{
    {"vgprs", "VGPRs"},
    {"shared_bytes", "LDS size"},
    {"subgroups_per_simd", "Subgroups per SIMD"},
    {"code_bytes", "Code size"},
    {"instructions", "Instructions"},
    {"vector_loads_and_stores", "VMEM"},
    {"latency", "Latency"},
    {"inverse_throughput", "Inverse Throughput"},
}};

}  // namespace

double Compiled::value(std::string_view name) const {
  const auto found = values.find(name);
  return found == values.end() ? -1 : found->second;
}

Result<void> compile(const Gpu& gpu, Pipelines& pipelines, std::span<const Launch> dispatches,
                     CompiledPipelines& into) {
  for (const Launch& dispatch : dispatches) {
    if (into.contains(dispatch.key)) continue;
    const auto pipeline = pipelines.get(dispatch.key);
    if (!pipeline) return std::unexpected(pipeline.error());
    auto statistics = pipeline_statistics(gpu, *pipeline);
    if (!statistics) return pass_on(statistics);
    Assembly assembly(statistics->representations["Assembly"], statistics->subgroup_size);
    const Work work = assembly.once();
    into.emplace(dispatch.key,
                 Compiled{statistics->subgroup_size, std::move(statistics->values), std::move(assembly), work});
  }
  return {};
}

Table table_of(const CompiledPipelines& pipelines) {
  Table table;
  table.columns = {"pipeline", "lanes", "spilled_vgprs", "spilled_sgprs", "scratch_bytes", "dots", "matrices"};
  for (const auto& [column, statistic] : kDriverColumns) table.columns.emplace_back(column);
  for (const auto& [key, compiled] : pipelines) {
    auto& cells = table.rows[pipeline_name(key)];
    cells = {fmt::format("{}", compiled.lanes),
             fmt::format("{}", compiled.value("Spilled VGPRs")),
             fmt::format("{}", compiled.value("Spilled SGPRs")),
             fmt::format("{}", compiled.value("Scratch size")),
             fmt::format("{}", compiled.work.dots),
             fmt::format("{}", compiled.work.matrices)};
    for (const auto& [column, statistic] : kDriverColumns) {
      cells.push_back(fmt::format("{}", compiled.value(statistic)));
    }
  }
  return table;
}

}  // namespace hearth::vulkan
