#pragma once

#include <map>
#include <string>

#include "device/vulkan/pipelines.h"
#include "device/vulkan/rdna3/assembly.h"
#include "device/vulkan/rdna3/table.h"

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

/// Reads everything about the pipelines that were made since the last time. They must have been made with `capture`.
Result<void> collect(const Gpu& gpu, const Pipelines& pipelines, CompiledPipelines& into);

/// The table of them, a row each.
Table table_of(const CompiledPipelines& pipelines);

}  // namespace hearth::vulkan
