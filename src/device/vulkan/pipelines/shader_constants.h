#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace hearth::vulkan {

/// A specialisation constant as its shader declares it.
struct ShaderConstant {
  std::string name;        ///< empty where the shader has none of this number
  bool is_switch = false;  ///< a bool
};

/// The constants of compiled code, by constant_id: SPIR-V carries the source's names (OpName) and numbers (SpecId).
/// Code without names gives constants without.
std::vector<ShaderConstant> shader_constants(std::span<const uint32_t> spirv);

}  // namespace hearth::vulkan
