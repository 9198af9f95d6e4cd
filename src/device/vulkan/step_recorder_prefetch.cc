#include <algorithm>

#include "device/vulkan/shaders/layout.h"
#include "device/vulkan/step_recorder.h"

namespace hearth::vulkan {
namespace {

/// The weights that an operation reads, if it is a matmul.
std::optional<MatrixId> matrix_of(const Operation& operation) {
  if (const auto* op = std::get_if<Linear>(&operation)) return op->weight;
  if (const auto* op = std::get_if<GateUp>(&operation)) return op->gate_up;
  if (const auto* op = std::get_if<Logits>(&operation)) return op->head;
  return {};
}

/// Operations whose time is latency, not bytes, when there are few tokens.
bool leaves_bus_idle(const Operation& operation) {
  return std::holds_alternative<AddNorm>(operation) || std::holds_alternative<Attention>(operation);
}

}  // namespace

Result<void> StepRecorder::prefetch_next(size_t after) {
  const auto& operations = c_.recording.operations;
  uint64_t bytes = uint64_t{c_.tuning.prefetch_kib} << 10;
  if (bytes == 0 || bucket_.tokens > c_.tuning.few_tokens_limit || !leaves_bus_idle(operations[after])) return {};
  const auto rest = operations.begin() + static_cast<std::ptrdiff_t>(after) + 1;
  const auto next = std::find_if(rest, operations.end(), [](const Operation& op) { return matrix_of(op).has_value(); });
  if (next == operations.end()) return {};
  const Matrix& matrix = c_.weights.matrix(*matrix_of(*next));
  // The launch begins with the first rows of each run: gate and up side by side, else one run after another.
  const uint64_t runs = std::holds_alternative<GateUp>(*next) ? matrix.runs.size() : 1;
  for (size_t i = 0; i < runs; ++i) {
    const WeightRun& run = matrix.runs[i];
    const VkDeviceAddress at = c_.weights.slice(run).address();
    const double share = std::min(1.0, static_cast<double>(bytes / runs) / static_cast<double>(run.layout.bytes));
    const auto part = [&](uint64_t whole) { return static_cast<uint64_t>(static_cast<double>(whole) * share); };
    if (auto done = prefetch(at, part(run.layout.extra_offset)); !done) return done;
    const uint64_t scales = run.layout.bytes - run.layout.scales_offset;
    if (auto done = prefetch(at + run.layout.scales_offset, part(scales)); !done) return done;
  }
  return {};
}

Result<void> StepRecorder::prefetch(VkDeviceAddress source, uint64_t bytes) {
  constexpr uint32_t kThreads = 256, kSectorsOfThread = 8;
  const auto sectors = static_cast<uint32_t>(bytes / shared::kCacheSectorBytes);
  if (sectors == 0) return {};
  const shared::PrefetchArguments arguments = {.source = source, .sink = source, .sectors = sectors};
  const PipelineKey key = {Shader::prefetch, kThreads, {kSectorsOfThread}};
  const uint32_t groups = (sectors + kThreads * kSectorsOfThread - 1) / (kThreads * kSectorsOfThread);
  // Weights do not change, so there is nothing to wait for and nobody waits for this.
  return commands_.dispatch(key, arguments, {groups}, {}, {});
}

}  // namespace hearth::vulkan
