#include "device/vulkan/paths/few_path.h"

#include <algorithm>
#include <bit>

#include "device/vulkan/memory/weight_layout.h"
#include "device/vulkan/shaders/layout.h"

namespace hearth::vulkan {
namespace {

/// Registers of a lane for one block of weights, ready to be multiplied.
uint32_t registers_of_block(uint32_t encoding) {
  if (encoding == shared::kEncodingF32) return 32;
  return uses_quantized_activations(encoding) ? 8 : 16;
}
constexpr uint32_t kMostBlockRegisters = 64;  // RDNA3 spills beyond
constexpr uint32_t kMostThreads = 512;        // to which narrower rows may widen a workgroup

uint32_t outputs_of(const FewTokensTuning& t, uint32_t lanes) {
  return t.subgroups / t.split * (lanes / t.cluster) * t.rows;
}

/// A power of two from 1 to `most`: the shaders divide by it.
uint32_t power_within(uint32_t value, uint32_t most) { return std::bit_floor(std::clamp(value, 1U, most)); }

/// Of a workgroup: more would be compiled for long and leave registers for few rows.
constexpr uint32_t kMostTokensOfGroup = 8;

}  // namespace

uint32_t workgroup_tokens(const Tuning& tuning, uint32_t tokens) {
  if (tuning.batch_invariant == 0) return tokens;
  uint32_t groups = divide_up(tokens, kMostTokensOfGroup);
  while (tokens % groups != 0) ++groups;
  return tokens / groups;
}

FewPlan plan_few_path(const GpuProperties& gpu, const FewTokensTuning& wanted, uint32_t most_sums, uint32_t encoding,
                      uint32_t matrices, uint32_t tokens) {
  const uint32_t lanes = gpu.subgroup_size;
  FewTokensTuning t = wanted;
  t.cluster = power_within(std::max(t.cluster, 8U), lanes);
  t.subgroups = power_within(t.subgroups, gpu.max_workgroup_threads / lanes);
  t.split = power_within(t.split, t.subgroups);
  t.rows = power_within(t.rows, 16);
  t.unroll = std::max(t.unroll, 1U);
  t.joined = tokens <= t.joined ? 1 : 0;
  const uint32_t block_registers = matrices * registers_of_block(encoding);
  while (t.rows > 1 && (matrices * t.rows * tokens > most_sums || t.rows * block_registers > kMostBlockRegisters)) {
    t.rows /= 2;
    // The workgroup's rows stay the same.
    if (2 * t.subgroups * lanes <= std::min(gpu.max_workgroup_threads, kMostThreads)) t.subgroups *= 2;
  }
  const auto shared_bytes = [&] { return uint64_t{4} * matrices * t.split * tokens * outputs_of(t, lanes); };
  while (shared_bytes() > gpu.shared_memory_bytes && (t.subgroups > t.split || t.rows > 1)) {
    (t.subgroups > t.split ? t.subgroups : t.rows) /= 2;
  }
  return {t, t.subgroups * lanes, outputs_of(t, lanes)};
}

}  // namespace hearth::vulkan
