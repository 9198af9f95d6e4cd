#include "device/vulkan/pipelines/shader_constants.h"

#include <algorithm>
#include <cstring>
#include <map>

namespace hearth::vulkan {
namespace {

// From the SPIR-V specification, sections 2.3 (layout), 3.20 (decorations) and 3.49 (instructions).
constexpr size_t kHeaderWords = 5;
constexpr uint32_t kOpName = 5, kOpSpecConstantTrue = 48, kOpSpecConstantFalse = 49, kOpDecorate = 71;
constexpr uint32_t kDecorationSpecId = 1;

std::string string_of(std::span<const uint32_t> words) {
  const char* text = reinterpret_cast<const char*>(words.data());
  return {text, strnlen(text, words.size_bytes())};
}

}  // namespace

std::vector<ShaderConstant> shader_constants(std::span<const uint32_t> spirv) {
  std::map<uint32_t, std::string> names;
  std::map<uint32_t, uint32_t> numbers;  // by the result's id
  std::vector<uint32_t> switches;
  for (size_t at = kHeaderWords; at < spirv.size();) {
    const size_t words = std::min<size_t>(std::max(spirv[at] >> 16, 1U), spirv.size() - at);
    const uint32_t opcode = spirv[at] & 0xffff;
    const auto operands = spirv.subspan(at + 1, words - 1);
    if (opcode == kOpName && operands.size() >= 2) names[operands[0]] = string_of(operands.subspan(1));
    if (opcode == kOpDecorate && operands.size() >= 3 && operands[1] == kDecorationSpecId) {
      numbers[operands[0]] = operands[2];
    }
    const bool is_switch = opcode == kOpSpecConstantTrue || opcode == kOpSpecConstantFalse;
    if (is_switch && operands.size() >= 2) switches.push_back(operands[1]);
    at += words;
  }
  std::vector<ShaderConstant> constants;
  for (const auto& [id, number] : numbers) {
    if (constants.size() <= number) constants.resize(number + 1);
    constants[number] = {names[id], std::ranges::find(switches, id) != switches.end()};
  }
  return constants;
}

}  // namespace hearth::vulkan
