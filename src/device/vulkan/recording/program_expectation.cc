// What steps are likely to take, by the times that tuning has measured.
#include <algorithm>

#include "device/vulkan/recording/program.h"

namespace hearth::vulkan {

std::vector<double> VulkanProgram::expected_seconds(std::span<const uint32_t> tokens) {
  std::vector<double> seconds(tokens.size());
  bool is_measured = false;
  for (const TuningTarget& target : tuning_targets(recording_, weights_, limits_, tuning_)) {
    if (target.rows == Rows::logits) continue;
    for (size_t i = 0; i < tokens.size(); ++i) {
      const double each = expected_seconds(target, std::min(tokens[i], limits_.tokens));
      if (each == 0) return {};
      seconds[i] += each * static_cast<double>(target.operations.size());
      is_measured = true;
    }
  }
  return is_measured ? seconds : std::vector<double>();
}

/// As long as at the nearest count of tokens that was measured; where buckets are wide, for each workgroup that has
/// something to do, as a bucket's other workgroups end at once.
double VulkanProgram::expected_seconds(const TuningTarget& target, uint32_t tokens) {
  const auto nearest = matmuls_.nearest(target.shape, tokens);
  if (!nearest) return 0;
  if (tokens <= MatmulTunings::kLastOwnKernel) return nearest->seconds;
  const auto count = [&](uint32_t rows) { return workgroups(target.operations.front(), rows, *nearest->tuning); };
  const double then = count(nearest->tokens), now = count(tokens);
  return then == 0 ? 0 : nearest->seconds * now / then;
}

/// Of the launches that multiply; others bring numbers into the form that those want.
double VulkanProgram::workgroups(uint32_t operation, uint32_t tokens, const Tuning& matmuls) {
  const auto listed = launches(std::span(&operation, 1), tokens, matmuls);
  if (!listed) return 0;
  double sum = 0;
  for (const Launch& launch : *listed) {
    const Shader shader = launch.key.shader;
    if (shader < Shader::linear_few || shader > Shader::gate_up_workgroup_matrix) continue;
    sum += static_cast<double>(launch.groups.x) * launch.groups.y * launch.groups.z;
  }
  return sum;
}

}  // namespace hearth::vulkan
