#include "device/vulkan/rdna3/pipeline_name.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <fstream>
#include <regex>

#include "device/vulkan/weight_layout.h"

namespace hearth::vulkan {
namespace {

struct Constant {
  std::string name;  ///< as in the source; empty where the shader does not use the number
  bool is_switch = false;
};

/// By constant_id, from a shader's source and what it includes.
void find_constants(const std::filesystem::path& file, std::vector<Constant>& found) {
  static const std::regex kConstant(R"(layout\(constant_id = (\d+)\) const (\w+) (\w+))");
  static const std::regex kInclude(R"(^#include \"(.+)\")");
  std::ifstream source(file);
  for (std::string line; std::getline(source, line);) {
    std::smatch match;
    if (std::regex_search(line, match, kInclude)) {
      find_constants(file.parent_path() / match[1].str(), found);
    } else if (std::regex_search(line, match, kConstant)) {
      const auto id = static_cast<size_t>(std::stoul(match[1]));
      if (found.size() <= id) found.resize(id + 1);
      found[id] = {match[3], match[2] == "bool"};
    }
  }
}

const std::vector<Constant>& constants(Shader shader) {
  static std::map<Shader, std::vector<Constant>> all;
  const auto [found, added] = all.try_emplace(shader);
  if (added) {
    const auto folder = std::filesystem::path(HEARTH_SOURCE_DIR) / "src/device/vulkan/shaders";
    find_constants(folder / fmt::format("{}.comp", name_of(shader)), found->second);
  }
  return found->second;
}

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
  const auto& all = constants(key.shader);
  std::string sizes = fmt::format(" threads={}", key.threads);
  for (size_t i = 0; i < key.constants.size(); ++i) {
    const Constant constant = i + 2 < all.size() ? all[i + 2] : Constant{};
    if (constant.name.empty()) continue;
    std::string lower = constant.name;
    std::ranges::transform(lower, lower.begin(), [](unsigned char c) { return std::tolower(c); });
    if (constant.name == "ENCODING") {
      name += " " + encoding_name(key.constants[i]);
    } else if (!constant.is_switch) {
      sizes += fmt::format(" {}={}", lower, key.constants[i]);
    } else if (key.constants[i] != 0) {
      sizes += " " + lower;
    }
  }
  return name + sizes;
}

uint32_t constant_of(const PipelineKey& key, std::string_view name) {
  const auto& all = constants(key.shader);
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
