#include "device/vulkan/tuning.h"

#include <fmt/format.h>

#include <charconv>
#include <map>
#include <string>

namespace hearth::vulkan {
namespace {

std::map<std::string, uint32_t*, std::less<>> fields(Tuning& tuning) {
  std::map<std::string, uint32_t*, std::less<>> all = {
      {"few_tokens_limit", &tuning.few_tokens_limit},
      {"many_tokens_path", &tuning.many_tokens_path},
      {"most_sums", &tuning.most_sums},
      {"norm_threads", &tuning.norm_threads},
      {"short_rows", &tuning.short_rows},
      {"attention_subgroups", &tuning.attention_subgroups},
      {"attention_rounds", &tuning.attention_rounds},
      {"attention_heads", &tuning.attention_heads},
      {"attention_split_keys", &tuning.attention_split_keys},
      {"attention_workgroups", &tuning.attention_workgroups},
      {"attention_separate_rope", &tuning.attention_separate_rope},
      {"attention_path", &tuning.attention_path},
      {"attention_matrix_subgroups", &tuning.attention_matrix_subgroups},
      {"attention_matrix_keys", &tuning.attention_matrix_keys},
      {"attention_shared_queries", &tuning.attention_shared_queries},
      {"attention_transpose_values", &tuning.attention_transpose_values},
      {"attention_threads", &tuning.attention_threads},
      {"attention_keys", &tuning.attention_keys},
      {"candidate_threads", &tuning.candidate_threads},
      {"candidate_values", &tuning.candidate_values},
      {"submit_mflop", &tuning.submit_mflop},
  };
  const auto add = [&](const std::string& name, FewTokensTuning& few) {
    all[name + ".subgroups"] = &few.subgroups;
    all[name + ".rows"] = &few.rows;
    all[name + ".split"] = &few.split;
    all[name + ".unroll"] = &few.unroll;
    all[name + ".cluster"] = &few.cluster;
  };
  add("linear", tuning.linear);
  add("short_linear", tuning.short_linear);
  add("logits", tuning.logits);
  add("gate_up", tuning.gate_up);
  const auto add_matrix = [&](const std::string& name, MatrixTuning& matrix) {
    all[name + ".subgroups"] = &matrix.subgroups;
    all[name + ".tile_rows"] = &matrix.tile_rows;
    all[name + ".tile_tokens"] = &matrix.tile_tokens;
    all[name + ".sub_rows"] = &matrix.sub_rows;
    all[name + ".sub_tokens"] = &matrix.sub_tokens;
    all[name + ".depth"] = &matrix.depth;
    all[name + ".ahead"] = &matrix.ahead;
  };
  add_matrix("matrix16", tuning.matrix16);
  add_matrix("matrix32", tuning.matrix32);
  add_matrix("matrix64", tuning.matrix64);
  add_matrix("matrix", tuning.matrix);
  return all;
}

}  // namespace

Tuning tuning_for(const GpuProperties& gpu) {
  Tuning tuning;
  // Cooperative matrices cost the same for 1 to 16 tokens: on an H100 as much as dot products at about ten.
  if (!gpu.cooperative_matrices.empty()) tuning.few_tokens_limit = 8;
  // A hundred processors and more: rows alone do not keep them busy, so subgroups share rows (H100).
  if (gpu.type == VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU && gpu.subgroup_size >= 32) {
    tuning.short_linear = {.subgroups = 8, .rows = 2, .split = 8};
    tuning.gate_up = {.subgroups = 16, .rows = 2, .split = 4};
    tuning.attention_rounds = 2;
    tuning.attention_heads = 1;
  }
  return tuning;
}

Result<void> change_tuning(std::string_view changes, Tuning& tuning) {
  const auto all = fields(tuning);
  while (!changes.empty()) {
    const std::string_view change = changes.substr(0, changes.find(','));
    changes.remove_prefix(std::min(changes.size(), change.size() + 1));
    const size_t equals = change.find('=');
    const auto field = all.find(change.substr(0, equals));
    uint32_t value = 0;
    const std::string_view number = equals == change.npos ? std::string_view() : change.substr(equals + 1);
    const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), value);
    if (field == all.end() || error != std::errc() || end != number.data() + number.size()) {
      return fail(ErrorCode::invalid_argument, fmt::format("'{}' is no tuning", change));
    }
    *field->second = value;
  }
  return {};
}

}  // namespace hearth::vulkan
