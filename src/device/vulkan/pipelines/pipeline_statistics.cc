#include "device/vulkan/pipelines/pipeline_statistics.h"

#include <vector>

namespace hearth::vulkan {
namespace {

double number(const VkPipelineExecutableStatisticKHR& statistic) {
  switch (statistic.format) {
    case VK_PIPELINE_EXECUTABLE_STATISTIC_FORMAT_BOOL32_KHR:
      return statistic.value.b32 != 0 ? 1 : 0;
    case VK_PIPELINE_EXECUTABLE_STATISTIC_FORMAT_INT64_KHR:
      return static_cast<double>(statistic.value.i64);
    case VK_PIPELINE_EXECUTABLE_STATISTIC_FORMAT_UINT64_KHR:
      return static_cast<double>(statistic.value.u64);
    default:
      return statistic.value.f64;
  }
}

Result<void> read_values(const Gpu& gpu, const VkPipelineExecutableInfoKHR& info, ExecutableStatistics& result) {
  uint32_t count = 0;
  VkResult got = gpu.vk().vkGetPipelineExecutableStatisticsKHR(gpu.device(), &info, &count, nullptr);
  std::vector<VkPipelineExecutableStatisticKHR> found(count, {VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_STATISTIC_KHR});
  if (got == VK_SUCCESS) {
    got = gpu.vk().vkGetPipelineExecutableStatisticsKHR(gpu.device(), &info, &count, found.data());
  }
  if (got != VK_SUCCESS) return fail_vulkan(got, "reading a pipeline's statistics");
  for (const auto& statistic : found) result.values[statistic.name] = number(statistic);
  return {};
}

/// Twice: once for the sizes, once for the texts.
Result<void> read_representations(const Gpu& gpu, const VkPipelineExecutableInfoKHR& info,
                                  ExecutableStatistics& result) {
  uint32_t count = 0;
  const auto read = [&](VkPipelineExecutableInternalRepresentationKHR* into) {
    return gpu.vk().vkGetPipelineExecutableInternalRepresentationsKHR(gpu.device(), &info, &count, into);
  };
  VkResult got = read(nullptr);
  std::vector<VkPipelineExecutableInternalRepresentationKHR> found(
      count, {VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_INTERNAL_REPRESENTATION_KHR});
  if (got == VK_SUCCESS) got = read(found.data());
  std::vector<std::string> texts(found.size());
  for (size_t i = 0; i < found.size(); ++i) {
    texts[i].resize(found[i].dataSize);
    found[i].pData = texts[i].data();
  }
  if (got == VK_SUCCESS) got = read(found.data());
  if (got != VK_SUCCESS) return fail_vulkan(got, "reading a pipeline's assembly");
  for (size_t i = 0; i < found.size(); ++i) {
    if (found[i].isText == VK_FALSE) continue;
    texts[i].resize(texts[i].find_last_not_of('\0') + 1);
    result.representations[found[i].name] = std::move(texts[i]);
  }
  return {};
}

}  // namespace

std::optional<double> ExecutableStatistics::value(std::string_view name) const {
  const auto found = values.find(name);
  return found == values.end() ? std::nullopt : std::optional(found->second);
}

Result<ExecutableStatistics> pipeline_statistics(const Gpu& gpu, VkPipeline pipeline) {
  const VkPipelineInfoKHR whole = {.sType = VK_STRUCTURE_TYPE_PIPELINE_INFO_KHR, .pipeline = pipeline};
  // A compute pipeline is one executable.
  uint32_t count = 1;
  VkPipelineExecutablePropertiesKHR executable = {VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_PROPERTIES_KHR};
  const VkResult got = gpu.vk().vkGetPipelineExecutablePropertiesKHR(gpu.device(), &whole, &count, &executable);
  if (got != VK_SUCCESS && got != VK_INCOMPLETE) return fail_vulkan(got, "reading a pipeline's properties");
  if (count == 0) return fail(ErrorCode::unsupported, "the driver tells nothing about a pipeline");

  ExecutableStatistics result = {.subgroup_size = executable.subgroupSize};
  const VkPipelineExecutableInfoKHR info = {
      .sType = VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_INFO_KHR, .pipeline = pipeline, .executableIndex = 0};
  if (auto read = read_values(gpu, info, result); !read) return pass_on(read);
  if (auto read = read_representations(gpu, info, result); !read) return pass_on(read);
  return result;
}

}  // namespace hearth::vulkan
