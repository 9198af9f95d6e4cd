#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string_view>
#include <vector>

#include "device/vulkan/gpu.h"

namespace hearth::vulkan {

/// The compute shaders of src/device/vulkan/shaders, one for each .comp file.
enum class Shader : uint8_t {
  embed,
  add_norm,
  quantize,
  linear_few,
  linear_many,
  linear_matrix,
  gate_up_few,
  gate_up_many,
  gate_up_matrix,
  rope_and_store,
  attention,
  select_rows,
  read_bandwidth,
  count,
};

/// The name of its file.
std::string_view name_of(Shader shader);

/// A shader and its specialisation constants: `threads` and the subgroup size are constants 0 and 1 of every shader,
/// `constants` are those from 2 on, in the order of the shader's file.
struct PipelineKey {
  Shader shader = Shader::embed;
  uint32_t threads = 128;
  std::vector<uint32_t> constants;

  auto operator<=>(const PipelineKey&) const = default;
};

/// Makes each pipeline once. All pipelines share one layout: push constants and nothing else. Thread-safe.
class Pipelines {
 public:
  /// `capture` keeps the driver's statistics and assembly of each pipeline (pipeline_statistics.h); compiling is
  /// slower.
  static Result<std::unique_ptr<Pipelines>> create(const Gpu& gpu, bool capture = false);
  ~Pipelines();
  Pipelines(const Pipelines&) = delete;
  Pipelines& operator=(const Pipelines&) = delete;

  Result<VkPipeline> get(const PipelineKey& key);
  VkPipelineLayout layout() const { return layout_; }

  static constexpr uint32_t kPushConstantBytes = 128;

 private:
  Pipelines(const Gpu& gpu, VkPipelineCreateFlags flags) : gpu_(gpu), flags_(flags) {}
  Result<VkShaderModule> module(Shader shader);

  const Gpu& gpu_;
  const VkPipelineCreateFlags flags_;
  VkPipelineLayout layout_ = VK_NULL_HANDLE;
  VkPipelineCache cache_ = VK_NULL_HANDLE;
  std::mutex mutex_;
  std::map<Shader, VkShaderModule> modules_;
  std::map<PipelineKey, VkPipeline> pipelines_;
};

}  // namespace hearth::vulkan
