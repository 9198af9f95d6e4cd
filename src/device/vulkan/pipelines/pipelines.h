#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <stop_token>
#include <string_view>
#include <vector>

#include "device/vulkan/gpu/gpu.h"
#include "device/vulkan/pipelines/pipeline_cache_file.h"
#include "device/vulkan/pipelines/shader_constants.h"

namespace hearth::vulkan {

/// The compute shaders of src/device/vulkan/shaders, one for each .comp file.
enum class Shader : uint8_t {
  embed,
  add_norm,
  quantize,
  pad_rows,
  split_floats,
  halve_bytes,
  learn_fragments,
  make_fragments,
  linear_few,
  linear_many,
  linear_matrix,
  linear_half_matrix,
  linear_decoded_matrix,
  linear_workgroup_matrix,
  linear_fragments,
  gate_up_few,
  gate_up_many,
  gate_up_matrix,
  gate_up_fragments,
  gate_up_half_matrix,
  gate_up_decoded_matrix,
  gate_up_workgroup_matrix,
  rope_and_store,
  attention_few,
  attention_many,
  attention_matrix,
  store_latents,
  head_linear,
  latent_attention,
  activate,
  route,
  expert_gate_up,
  expert_linear,
  combine_experts,
  causal_convolution,
  linear_attention,
  gated_norm,
  gate,
  select_rows,
  read_bandwidth,
  best_logits,
  count,
};

/// The name of its file.
std::string_view name_of(Shader shader);

/// Its specialisation constants by constant_id.
const std::vector<ShaderConstant>& constants_of(Shader shader);

/// Of the code of all shaders: what was compiled or measured with others says nothing about these.
uint64_t hash_of_shaders();

/// A shader and its specialisation constants: `threads` and the subgroup size are constants 0 and 1 of every shader,
/// `constants` are those from 2 on, in the order of the shader's file.
struct PipelineKey {
  Shader shader = Shader::embed;
  uint32_t threads = 128;
  std::vector<uint32_t> constants;

  auto operator<=>(const PipelineKey&) const = default;
};

/// How pipelines came to be.
struct PipelineStatistics {
  uint32_t made = 0;
  uint32_t from_cache = 0;  ///< of those, found in the driver's cache as it tells; drivers need not tell
};

/// Makes each pipeline once, and keeps what the driver compiled in a file. All pipelines share one layout: push
/// constants and nothing else. Thread-safe.
class Pipelines {
 public:
  /// Compiled pipelines are kept in `cache_folder`; an empty one keeps none. `capture` keeps the driver's statistics
  /// and assembly of each pipeline (pipeline_statistics.h); compiling is slower.
  static Result<std::unique_ptr<Pipelines>> create(const Gpu& gpu, bool capture = false,
                                                   const std::filesystem::path& cache_folder = {});
  /// Saves.
  ~Pipelines();
  Pipelines(const Pipelines&) = delete;
  Pipelines& operator=(const Pipelines&) = delete;

  Result<VkPipeline> get(const PipelineKey& key);

  /// Makes all of them, on as many threads as the machine has, and saves. Errors: cancelled (`stop`).
  Result<void> prepare(const std::set<PipelineKey>& keys, const std::stop_token& stop = {});

  /// Writes the cache's file if pipelines were made since it was last read or written. Errors: io.
  Result<void> save();

  VkPipelineLayout layout() const { return layout_; }

  /// Whether a launch may begin at any workgroup (vkCmdDispatchBase). A card of its own never needs that.
  bool can_cut_launches() const { return gpu_.properties().type != VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU; }
  PipelineStatistics statistics() const;

  static constexpr uint32_t kPushConstantBytes = 128;

 private:
  Pipelines(const Gpu& gpu, VkPipelineCreateFlags flags) : gpu_(gpu), flags_(flags) {}
  Result<void> open_cache(const std::filesystem::path& folder);
  VkPipeline find(const PipelineKey& key) const;
  Result<VkPipeline> compile(const PipelineKey& key);
  Result<VkShaderModule> module(Shader shader);

  const Gpu& gpu_;
  const VkPipelineCreateFlags flags_;
  VkPipelineLayout layout_ = VK_NULL_HANDLE;
  VkPipelineCache cache_ = VK_NULL_HANDLE;
  PipelineCacheFile file_;
  std::mutex saving_;         // of the next; held while the file is written, so that nobody who records waits for that
  uint32_t saved_ = 0;        // pipelines made when the file was written
  mutable std::mutex mutex_;  // of all below; never held while the driver compiles
  std::map<Shader, VkShaderModule> modules_;
  std::map<PipelineKey, VkPipeline> pipelines_;
  PipelineStatistics statistics_;
};

}  // namespace hearth::vulkan
