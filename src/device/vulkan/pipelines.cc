#include "device/vulkan/pipelines.h"

#include <fmt/format.h>
#include <shaders/add_norm.h>
#include <shaders/attention.h>
#include <shaders/embed.h>
#include <shaders/gate_up_few.h>
#include <shaders/gate_up_many.h>
#include <shaders/gate_up_matrix.h>
#include <shaders/linear_few.h>
#include <shaders/linear_many.h>
#include <shaders/linear_matrix.h>
#include <shaders/quantize.h>
#include <shaders/read_bandwidth.h>
#include <shaders/rope_and_store.h>
#include <shaders/select_rows.h>

#include <array>
#include <memory>
#include <span>

namespace hearth::vulkan {
namespace {

struct ShaderCode {
  const char* name;
  std::span<const uint32_t> spirv;
};

const std::array<ShaderCode, static_cast<size_t>(Shader::count)> kShaders = {{
    {"embed", embed_spirv},
    {"add_norm", add_norm_spirv},
    {"quantize", quantize_spirv},
    {"linear_few", linear_few_spirv},
    {"linear_many", linear_many_spirv},
    {"linear_matrix", linear_matrix_spirv},
    {"gate_up_few", gate_up_few_spirv},
    {"gate_up_many", gate_up_many_spirv},
    {"gate_up_matrix", gate_up_matrix_spirv},
    {"rope_and_store", rope_and_store_spirv},
    {"attention", attention_spirv},
    {"select_rows", select_rows_spirv},
    {"read_bandwidth", read_bandwidth_spirv},
}};

const ShaderCode& code(Shader shader) { return kShaders[static_cast<size_t>(shader)]; }

}  // namespace

std::string_view name_of(Shader shader) { return code(shader).name; }

Result<std::unique_ptr<Pipelines>> Pipelines::create(const Gpu& gpu, bool capture) {
  if (capture && !gpu.properties().executable_properties) {
    return fail(ErrorCode::unsupported, fmt::format("{} tells nothing about its pipelines", gpu.properties().name));
  }
  const VkPipelineCreateFlags flags = capture ? VK_PIPELINE_CREATE_CAPTURE_STATISTICS_BIT_KHR |
                                                    VK_PIPELINE_CREATE_CAPTURE_INTERNAL_REPRESENTATIONS_BIT_KHR
                                              : 0;
  std::unique_ptr<Pipelines> pipelines(new Pipelines(gpu, flags));
  const VkPushConstantRange range = {.stageFlags = VK_SHADER_STAGE_COMPUTE_BIT, .size = kPushConstantBytes};
  const VkPipelineLayoutCreateInfo layout = {.sType = VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO,
                                             .pushConstantRangeCount = 1,
                                             .pPushConstantRanges = &range};
  const VkPipelineCacheCreateInfo cache = {.sType = VK_STRUCTURE_TYPE_PIPELINE_CACHE_CREATE_INFO};
  VkResult made = gpu.vk().vkCreatePipelineLayout(gpu.device(), &layout, nullptr, &pipelines->layout_);
  if (made == VK_SUCCESS) made = gpu.vk().vkCreatePipelineCache(gpu.device(), &cache, nullptr, &pipelines->cache_);
  if (made != VK_SUCCESS) return fail_vulkan(made, "preparing pipelines");
  return pipelines;
}

Pipelines::~Pipelines() {
  const VolkDeviceTable& vk = gpu_.vk();
  for (const auto& [key, pipeline] : pipelines_) vk.vkDestroyPipeline(gpu_.device(), pipeline, nullptr);
  for (const auto& [shader, module] : modules_) vk.vkDestroyShaderModule(gpu_.device(), module, nullptr);
  vk.vkDestroyPipelineCache(gpu_.device(), cache_, nullptr);
  vk.vkDestroyPipelineLayout(gpu_.device(), layout_, nullptr);
}

Result<VkShaderModule> Pipelines::module(Shader shader) {
  if (const auto found = modules_.find(shader); found != modules_.end()) return found->second;
  const auto spirv = code(shader).spirv;
  const VkShaderModuleCreateInfo info = {
      .sType = VK_STRUCTURE_TYPE_SHADER_MODULE_CREATE_INFO, .codeSize = spirv.size_bytes(), .pCode = spirv.data()};
  VkShaderModule module = VK_NULL_HANDLE;
  const VkResult made = gpu_.vk().vkCreateShaderModule(gpu_.device(), &info, nullptr, &module);
  if (made != VK_SUCCESS) return fail_vulkan(made, fmt::format("shader {}", code(shader).name));
  modules_.emplace(shader, module);
  return module;
}

Result<VkPipeline> Pipelines::get(const PipelineKey& key) {
  const std::scoped_lock lock(mutex_);
  if (const auto found = pipelines_.find(key); found != pipelines_.end()) return found->second;
  const auto shader = module(key.shader);
  if (!shader) return std::unexpected(shader.error());

  std::vector<uint32_t> values = {key.threads, gpu_.properties().subgroup_size};
  values.insert(values.end(), key.constants.begin(), key.constants.end());
  std::vector<VkSpecializationMapEntry> entries;
  for (uint32_t i = 0; i < values.size(); ++i) entries.push_back({i, i * 4, 4});
  const VkSpecializationInfo specialization = {.mapEntryCount = static_cast<uint32_t>(entries.size()),
                                               .pMapEntries = entries.data(),
                                               .dataSize = values.size() * 4,
                                               .pData = values.data()};
  const VkPipelineShaderStageRequiredSubgroupSizeCreateInfo subgroup = {
      .sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_REQUIRED_SUBGROUP_SIZE_CREATE_INFO,
      .requiredSubgroupSize = gpu_.properties().subgroup_size};
  const VkComputePipelineCreateInfo info = {
      .sType = VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO,
      .flags = flags_,
      .stage = {.sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO,
                .pNext = &subgroup,
                .flags = VK_PIPELINE_SHADER_STAGE_CREATE_REQUIRE_FULL_SUBGROUPS_BIT,
                .stage = VK_SHADER_STAGE_COMPUTE_BIT,
                .module = *shader,
                .pName = "main",
                .pSpecializationInfo = &specialization},
      .layout = layout_};
  VkPipeline pipeline = VK_NULL_HANDLE;
  const VkResult made = gpu_.vk().vkCreateComputePipelines(gpu_.device(), cache_, 1, &info, nullptr, &pipeline);
  if (made != VK_SUCCESS) return fail_vulkan(made, fmt::format("compiling shader {}", code(key.shader).name));
  pipelines_.emplace(key, pipeline);
  return pipeline;
}

}  // namespace hearth::vulkan
