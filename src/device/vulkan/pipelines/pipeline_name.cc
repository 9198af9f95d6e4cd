#include "device/vulkan/pipelines/pipeline_name.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

#include "device/vulkan/memory/weight_layout.h"

namespace hearth::vulkan {
namespace {

std::string encoding_name(uint32_t encoding) {
  for (int i = 0; i < kNumberFormatCount; ++i) {
    const auto format = static_cast<NumberFormat>(i);
    if (encoding_of(format) == encoding) return std::string(traits(format).name);
  }
  return fmt::format("encoding={}", encoding);
}

}  // namespace

std::string pipeline_name(const PipelineKey& key) {
  std::string name(name_of(key.shader));
  const auto& all = constants_of(key.shader);
  std::string sizes = fmt::format(" threads={}", key.threads);
  for (size_t i = 0; i < key.constants.size(); ++i) {
    const ShaderConstant constant = i + 2 < all.size() ? all[i + 2] : ShaderConstant{};
    if (constant.name.empty()) continue;
    std::string lower = constant.name;
    std::ranges::transform(lower, lower.begin(), [](unsigned char c) { return std::tolower(c); });
    if (constant.name == "ENCODING") {
      name += fmt::format(" {}", encoding_name(key.constants[i]));
    } else if (!constant.is_switch) {
      sizes += fmt::format(" {}={}", lower, key.constants[i]);
    } else if (key.constants[i] != 0) {
      sizes += fmt::format(" {}", lower);
    }
  }
  return name + sizes;
}

uint32_t constant_of(const PipelineKey& key, std::string_view name) {
  const auto& all = constants_of(key.shader);
  for (size_t i = 0; i < key.constants.size() && i + 2 < all.size(); ++i) {
    if (all[i + 2].name == name) return key.constants[i];
  }
  return 0;
}

bool is_matmul(const PipelineKey& key) {
  const std::string_view shader = name_of(key.shader);
  return shader.starts_with("linear") || shader.starts_with("gate_up");
}

bool multiplies_bytes(const PipelineKey& key) {
  return is_matmul(key) && uses_quantized_activations(constant_of(key, "ENCODING"));
}

}  // namespace hearth::vulkan
