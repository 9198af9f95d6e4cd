#pragma once

#include <map>
#include <span>
#include <string>

#include "device/vulkan/rdna3/assembly.h"
#include "device/vulkan/rdna3/table.h"
#include "device/vulkan/recording/command_recorder.h"

namespace hearth::vulkan {

/// A pipeline as the driver compiled it.
struct Compiled {
  uint32_t lanes = 0;  ///< of a subgroup
  std::map<std::string, double, std::less<>> values;
  Assembly assembly;
  Work work;  ///< every instruction once

  double value(std::string_view name) const;
};

using CompiledPipelines = std::map<PipelineKey, Compiled>;

/// Compiles those of the dispatches' pipelines that are not in `into` yet. `pipelines` must have been made with
/// `capture`.
Result<void> compile(const Gpu& gpu, Pipelines& pipelines, std::span<const Launch> dispatches, CompiledPipelines& into);

/// The table of them, a row each.
Table table_of(const CompiledPipelines& pipelines);

}  // namespace hearth::vulkan
