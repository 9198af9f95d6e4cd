#include "device/vulkan/paths/tuning.h"

#include <fmt/format.h>

#include <charconv>

#include "device/vulkan/gpu/cooperative_matrices.h"
#include "device/vulkan/paths/tuning_fields.h"

namespace hearth::vulkan {
namespace {

constexpr uint32_t kNvidia = 0x10de;  // PCI vendor

/// Reads a whole number and nothing else.
bool read_number(std::string_view text, uint32_t& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return !text.empty() && error == std::errc() && end == text.data() + text.size();
}

}  // namespace

const MatrixTuning& matrix_tuning(const Tuning& tuning, uint32_t tokens, bool decoded) {
  if (decoded) return tokens <= 64 ? tuning.decoded_matrix64 : tuning.decoded_matrix;
  if (tokens <= 8) return tuning.matrix8;
  if (tokens <= 16) return tuning.matrix16;
  if (tokens <= 32) return tuning.matrix32;
  return tokens <= 64 ? tuning.matrix64 : tuning.matrix;
}

Tuning tuning_for(const GpuProperties& gpu) {
  Tuning tuning;
  // Cooperative matrices of 16 tokens cost what dot products do at about eight, those of 8 at about five (H100).
  for (const CooperativeMatrixShape& shape : gpu.cooperative_matrices) {
    if (shape.inputs == "i8") tuning.few_tokens_limit = std::min(tuning.few_tokens_limit, shape.n > 8 ? 8U : 4U);
  }
  // Blocks as halves need no arithmetic on sums: a prompt is 1.2 to 1.4 times as quick as with exact sums of bytes
  // (H200).
  if (multiplies_halves(gpu) && gpu.type != VK_PHYSICAL_DEVICE_TYPE_CPU) tuning.decode_from_tokens = 65;
  if (gpu.vendor_id == kNvidia && tuning.decode_from_tokens > 0) {
    // More sums in registers than others have: each value in shared memory is loaded for 64 products. So large tiles
    // fill a large card from 512 tokens on, while those of bytes fill it with less (H200).
    tuning.decode_from_tokens = 257;
    tuning.decoded_matrix.tile_tokens = 256;
    tuning.decoded_matrix.sub_tokens = 64;
    // Dot products of bytes are quicker with fewer, large tiles of halves with more (H200).
    tuning.fragments.from_tokens = 4;
    tuning.fragments.to_tokens = UINT32_MAX;
    tuning.fragments.joined = 32;
  }
  // A hundred processors and more: rows alone do not keep them busy, so subgroups share rows (H100).
  if (gpu.type == VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU && gpu.subgroup_size >= 32) {
    tuning.short_linear = {.subgroups = 8, .rows = 2, .split = 8};
    tuning.gate_up = {.subgroups = 16, .rows = 2, .split = 4};
    tuning.matrix64 = {.teams = 2, .tile_rows = 64, .sub_rows = 32, .sub_tokens = 64, .depth = 4, .buffers = 1};
    tuning.attention_rounds = 2;
    tuning.attention_heads = 1;
    // Its compiler puts loads where they are needed, one wait behind another. With two tokens the registers are worth
    // more (H200).
    if (gpu.vendor_id == kNvidia) tuning.short_linear.joined = tuning.gate_up.joined = 1;
  }
  return tuning;
}

void keep_batch_invariant(Tuning& tuning) {
  if (tuning.batch_invariant == 0) return;
  tuning.few_tokens_limit = UINT32_MAX;
  tuning.attention_path = 1;
  tuning.attention_separate_rope = 1;
}

Result<TuningChanges> parse_changes(std::string_view text) {
  TuningChanges changes;
  Tuning any;
  while (!text.empty()) {
    const std::string_view change = text.substr(0, text.find(','));
    text.remove_prefix(std::min(text.size(), change.size() + 1));
    const size_t equals = change.find('=');
    const std::string name(change.substr(0, equals));
    uint32_t value = 0;
    const bool is_number = equals != change.npos && read_number(change.substr(equals + 1), value);
    if (!is_number || !change_tuning({{name, value}}, any)) {
      return fail(ErrorCode::invalid_argument, fmt::format("'{}' is no tuning", change));
    }
    changes[name] = value;
  }
  return changes;
}

std::string text_of(const TuningChanges& changes) {
  std::string text;
  for (const auto& [name, value] : changes) text += fmt::format("{}{}={}", text.empty() ? "" : ",", name, value);
  return text;
}

Result<void> change_tuning(const TuningChanges& changes, Tuning& tuning) {
  std::map<std::string, uint32_t*, std::less<>> fields;
  visit_fields(tuning, by_full_name([&](const std::string& name, uint32_t& value) { fields[name] = &value; }));
  for (const auto& [name, value] : changes) {
    const auto field = fields.find(name);
    if (field == fields.end()) return fail(ErrorCode::invalid_argument, fmt::format("'{}' is no tuning", name));
    *field->second = value;
  }
  return {};
}

bool changes_matmuls(const TuningChanges& changes) {
  const Tuning any;
  bool found = false;
  visit_matmul_fields(
      any, by_full_name([&](const std::string& name, const uint32_t&) { found = found || changes.contains(name); }));
  return found;
}

bool changes_others(const TuningChanges& changes) {
  const Tuning any;
  bool found = false;
  visit_other_fields(any, [&](const char* name, const uint32_t&) { found = found || changes.contains(name); });
  return found;
}

TuningChanges all_fields(const Tuning& tuning) {
  TuningChanges all;
  visit_fields(tuning, by_full_name([&](const std::string& name, const uint32_t& value) { all[name] = value; }));
  return all;
}

}  // namespace hearth::vulkan
