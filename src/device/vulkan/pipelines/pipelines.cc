#include "device/vulkan/pipelines/pipelines.h"

#include <fmt/format.h>
#include <shaders/activate.h>
#include <shaders/add_norm.h>
#include <shaders/attention_few.h>
#include <shaders/attention_many.h>
#include <shaders/attention_matrix.h>
#include <shaders/best_logits.h>
#include <shaders/causal_convolution.h>
#include <shaders/combine_experts.h>
#include <shaders/embed.h>
#include <shaders/expert_gate_up.h>
#include <shaders/expert_linear.h>
#include <shaders/gate.h>
#include <shaders/gate_up_decoded_matrix.h>
#include <shaders/gate_up_few.h>
#include <shaders/gate_up_fragments.h>
#include <shaders/gate_up_half_matrix.h>
#include <shaders/gate_up_many.h>
#include <shaders/gate_up_matrix.h>
#include <shaders/gate_up_workgroup_matrix.h>
#include <shaders/gated_norm.h>
#include <shaders/halve_bytes.h>
#include <shaders/head_linear.h>
#include <shaders/latent_attention.h>
#include <shaders/learn_fragments.h>
#include <shaders/linear_attention.h>
#include <shaders/linear_decoded_matrix.h>
#include <shaders/linear_few.h>
#include <shaders/linear_fragments.h>
#include <shaders/linear_half_matrix.h>
#include <shaders/linear_many.h>
#include <shaders/linear_matrix.h>
#include <shaders/linear_workgroup_matrix.h>
#include <shaders/make_fragments.h>
#include <shaders/pad_rows.h>
#include <shaders/quantize.h>
#include <shaders/read_bandwidth.h>
#include <shaders/rope_and_store.h>
#include <shaders/route.h>
#include <shaders/select_rows.h>
#include <shaders/split_floats.h>
#include <shaders/store_latents.h>

#include <algorithm>
#include <array>
#include <memory>
#include <optional>
#include <span>

#include "base/thread_pool.h"
#include "base/usable_cores.h"
#include "device/vulkan/gpu/kept_file.h"

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
    {"pad_rows", pad_rows_spirv},
    {"split_floats", split_floats_spirv},
    {"halve_bytes", halve_bytes_spirv},
    {"learn_fragments", learn_fragments_spirv},
    {"make_fragments", make_fragments_spirv},
    {"linear_few", linear_few_spirv},
    {"linear_many", linear_many_spirv},
    {"linear_matrix", linear_matrix_spirv},
    {"linear_half_matrix", linear_half_matrix_spirv},
    {"linear_decoded_matrix", linear_decoded_matrix_spirv},
    {"linear_workgroup_matrix", linear_workgroup_matrix_spirv},
    {"linear_fragments", linear_fragments_spirv},
    {"gate_up_few", gate_up_few_spirv},
    {"gate_up_many", gate_up_many_spirv},
    {"gate_up_matrix", gate_up_matrix_spirv},
    {"gate_up_fragments", gate_up_fragments_spirv},
    {"gate_up_half_matrix", gate_up_half_matrix_spirv},
    {"gate_up_decoded_matrix", gate_up_decoded_matrix_spirv},
    {"gate_up_workgroup_matrix", gate_up_workgroup_matrix_spirv},
    {"rope_and_store", rope_and_store_spirv},
    {"attention_few", attention_few_spirv},
    {"attention_many", attention_many_spirv},
    {"attention_matrix", attention_matrix_spirv},
    {"store_latents", store_latents_spirv},
    {"head_linear", head_linear_spirv},
    {"latent_attention", latent_attention_spirv},
    {"activate", activate_spirv},
    {"route", route_spirv},
    {"expert_gate_up", expert_gate_up_spirv},
    {"expert_linear", expert_linear_spirv},
    {"combine_experts", combine_experts_spirv},
    {"causal_convolution", causal_convolution_spirv},
    {"linear_attention", linear_attention_spirv},
    {"gated_norm", gated_norm_spirv},
    {"gate", gate_spirv},
    {"select_rows", select_rows_spirv},
    {"read_bandwidth", read_bandwidth_spirv},
    {"best_logits", best_logits_spirv},
}};

const ShaderCode& code(Shader shader) { return kShaders[static_cast<size_t>(shader)]; }

}  // namespace

const std::vector<ShaderConstant>& constants_of(Shader shader) {
  static const auto kAll = [] {
    std::array<std::vector<ShaderConstant>, kShaders.size()> all;
    std::ranges::transform(kShaders, all.begin(), [](const ShaderCode& code) { return shader_constants(code.spirv); });
    return all;
  }();
  return kAll[static_cast<size_t>(shader)];
}

uint64_t hash_of_shaders() {
  uint64_t hash = hash_of({});
  for (const ShaderCode& shader : kShaders) hash = hash_of(std::as_bytes(shader.spirv), hash);
  return hash;
}

std::string_view name_of(Shader shader) { return code(shader).name; }

Result<std::unique_ptr<Pipelines>> Pipelines::create(const Gpu& gpu, bool capture,
                                                     const std::filesystem::path& cache_folder) {
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
  const VkResult made = gpu.vk().vkCreatePipelineLayout(gpu.device(), &layout, nullptr, &pipelines->layout_);
  if (made != VK_SUCCESS) return fail_vulkan(made, "preparing pipelines");
  if (auto opened = pipelines->open_cache(cache_folder); !opened) return pass_on(opened);
  return pipelines;
}

Result<void> Pipelines::open_cache(const std::filesystem::path& folder) {
  file_ = PipelineCacheFile(folder, gpu_.properties(), hash_of_shaders());
  const std::vector<std::byte> kept = file_.read();
  VkPipelineCacheCreateInfo info = {.sType = VK_STRUCTURE_TYPE_PIPELINE_CACHE_CREATE_INFO,
                                    .initialDataSize = kept.size(),
                                    .pInitialData = kept.data()};
  VkResult made = gpu_.vk().vkCreatePipelineCache(gpu_.device(), &info, nullptr, &cache_);
  if (made != VK_SUCCESS && !kept.empty()) {  // the driver refuses what it once wrote
    info.initialDataSize = 0;
    made = gpu_.vk().vkCreatePipelineCache(gpu_.device(), &info, nullptr, &cache_);
  }
  if (made != VK_SUCCESS) return fail_vulkan(made, "preparing pipelines");
  return {};
}

Pipelines::~Pipelines() {
  (void)save();  // without it the next start compiles again
  const VolkDeviceTable& vk = gpu_.vk();
  for (const auto& [key, pipeline] : pipelines_) vk.vkDestroyPipeline(gpu_.device(), pipeline, nullptr);
  for (const auto& [shader, module] : modules_) vk.vkDestroyShaderModule(gpu_.device(), module, nullptr);
  vk.vkDestroyPipelineCache(gpu_.device(), cache_, nullptr);
  vk.vkDestroyPipelineLayout(gpu_.device(), layout_, nullptr);
}

Result<void> Pipelines::save() {
  const std::scoped_lock lock(saving_);
  const uint32_t made = statistics().made;
  if (file_.path().empty() || made == saved_) return {};
  const VolkDeviceTable& vk = gpu_.vk();
  size_t bytes = 0;
  std::vector<std::byte> data;
  VkResult got = vk.vkGetPipelineCacheData(gpu_.device(), cache_, &bytes, nullptr);
  if (got == VK_SUCCESS) {
    data.resize(bytes);
    got = vk.vkGetPipelineCacheData(gpu_.device(), cache_, &bytes, data.data());
  }
  if (got == VK_INCOMPLETE) return {};  // pipelines were made meanwhile, and whoever made them saves
  if (got != VK_SUCCESS) return fail_vulkan(got, "reading compiled pipelines");
  saved_ = made;
  return file_.write(std::span(data).first(bytes));
}

PipelineStatistics Pipelines::statistics() const {
  const std::scoped_lock lock(mutex_);
  return statistics_;
}

Result<void> Pipelines::prepare(const std::set<PipelineKey>& keys, const std::stop_token& stop) {
  const std::vector<PipelineKey> list(keys.begin(), keys.end());
  const unsigned threads = usable_cores();
  std::mutex failure_mutex;
  std::optional<Error> failure;
  ThreadPool(threads).parallel_for(list.size(), [&](size_t i, unsigned) {
    auto made = stop.stop_requested() ? fail(ErrorCode::cancelled, "making pipelines was cancelled") : get(list[i]);
    if (made) return;
    const std::scoped_lock lock(failure_mutex);
    failure = std::move(made.error());
  });
  if (failure) return std::unexpected(std::move(*failure));
  (void)save();  // a full disk is no reason not to serve
  return {};
}

Result<VkShaderModule> Pipelines::module(Shader shader) {
  const std::scoped_lock lock(mutex_);
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

VkPipeline Pipelines::find(const PipelineKey& key) const {
  const std::scoped_lock lock(mutex_);
  const auto found = pipelines_.find(key);
  return found == pipelines_.end() ? VK_NULL_HANDLE : found->second;
}

Result<VkPipeline> Pipelines::get(const PipelineKey& key) {
  if (const VkPipeline found = find(key); found != VK_NULL_HANDLE) return found;
  auto made = compile(key);
  if (!made) return made;
  const std::scoped_lock lock(mutex_);
  const auto [kept, is_new] = pipelines_.emplace(key, *made);
  if (!is_new) gpu_.vk().vkDestroyPipeline(gpu_.device(), *made, nullptr);  // another thread was sooner
  return kept->second;
}

Result<VkPipeline> Pipelines::compile(const PipelineKey& key) {
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
  VkPipelineCreationFeedback feedback = {}, stage_feedback = {};
  const VkPipelineCreationFeedbackCreateInfo asks_for_feedback = {
      .sType = VK_STRUCTURE_TYPE_PIPELINE_CREATION_FEEDBACK_CREATE_INFO,
      .pPipelineCreationFeedback = &feedback,
      .pipelineStageCreationFeedbackCount = 1,
      .pPipelineStageCreationFeedbacks = &stage_feedback};
  const VkComputePipelineCreateInfo info = {
      .sType = VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO,
      .pNext = &asks_for_feedback,
      .flags = flags_ | (can_cut_launches() ? VkPipelineCreateFlags{VK_PIPELINE_CREATE_DISPATCH_BASE_BIT} : 0),
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
  constexpr VkPipelineCreationFeedbackFlags kHit =
      VK_PIPELINE_CREATION_FEEDBACK_VALID_BIT | VK_PIPELINE_CREATION_FEEDBACK_APPLICATION_PIPELINE_CACHE_HIT_BIT;
  const std::scoped_lock lock(mutex_);
  ++statistics_.made;
  if ((feedback.flags & kHit) == kHit) ++statistics_.from_cache;
  return pipeline;
}

}  // namespace hearth::vulkan
