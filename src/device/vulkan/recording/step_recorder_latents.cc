#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>

#include "device/vulkan/recording/step_recorder.h"
#include "device/vulkan/shaders/latent_layout.h"

// Latent attention. Every token attends by itself, so that prompts read the rows of their contexts once for each token.
namespace hearth::vulkan {
namespace {

/// Of shared memory, for the shares of x that a workgroup of head_linear.comp holds.
constexpr uint32_t kShareBytes = 16384;
constexpr uint32_t kMostHeadTokens = 8;

/// The constants of head_linear.comp and what they make of a workgroup.
struct HeadLinearCut {
  uint32_t blocks = 1, tokens = 1, cluster = 1;
  uint32_t rows = 2;
  uint32_t subgroups = 4;

  uint32_t outputs(uint32_t subgroup_size) const { return subgroups * (subgroup_size / cluster) * rows; }
};

HeadLinearCut head_linear_cut(uint32_t blocks, uint32_t tokens, uint32_t subgroup_size, bool batch_invariant) {
  constexpr uint32_t kBlockBytes = 144;  // 32 floats and what keeps banks apart
  HeadLinearCut cut = {.blocks = blocks, .cluster = std::min(std::bit_ceil(blocks), subgroup_size)};
  const uint32_t most = std::bit_floor(std::clamp(kShareBytes / (blocks * kBlockBytes), 1U, kMostHeadTokens));
  cut.tokens = batch_invariant ? std::min(most, 4U) : std::min(most, std::bit_ceil(tokens));
  return cut;
}

}  // namespace

Result<void> StepRecorder::emit(const StoreLatents& op) {
  const RopeTables rope = c_.ropes[op.rope.index];
  const shared::StoreLatentsArguments arguments = {.step = c_.step.header(),
                                                   .query = floats(op.query),
                                                   .latents = floats(op.latents),
                                                   .positions = c_.step.positions(),
                                                   .slots = c_.step.slots(c_.cache.group(op.cache_layer.index)),
                                                   .norm = c_.weights.vector(op.norm).address(),
                                                   .rope = rope.table,
                                                   .cache = c_.cache.layer(op.cache_layer.index).address(),
                                                   .result = floats(op.out),
                                                   .heads = op.heads,
                                                   .nope_dim = op.nope_dim,
                                                   .latent_dim = op.latent_dim,
                                                   .pairs = rope.pairs,
                                                   .epsilon = op.epsilon};
  const uint32_t threads = 4 * c_.gpu.properties().subgroup_size;
  const PipelineKey key = {
      Shader::store_latents, threads, {op.rope_dim, c_.recording.ropes[op.rope.index].interleaved}};
  const std::array reads = {access(op.query), access(op.latents)};
  const std::array writes = {access(op.out), cache_access(op.cache_layer.index)};
  const Groups groups = {rows(op.out), 1 + divide_up(op.heads * op.rope_dim, threads)};
  return commands_.dispatch(key, arguments, groups, reads, writes);
}

Result<void> StepRecorder::emit(const HeadLinear& op) {
  const auto& runs = c_.weights.matrix(op.weight).runs;
  for (const WeightRun& run : runs) {
    if (auto done = multiply_heads(op, run, &run == &runs.front()); !done) return done;
  }
  return place(op.out).needs_bytes ? quantize(op.out) : Result<void>{};
}

Result<void> StepRecorder::multiply_heads(const HeadLinear& op, const WeightRun& run, bool first) {
  const Matrix& matrix = c_.weights.matrix(op.weight);
  const uint32_t outputs = matrix.rows / op.heads;
  if (run.first_row % outputs != 0 || run.layout.rows % outputs != 0) {
    return fail(ErrorCode::unsupported,
                fmt::format("{}: parts of heads in several formats, or of more than a slice of memory, are not built "
                            "for Vulkan",
                            matrix.spec.parts.front().name),
                "use --device cpu");
  }
  const uint32_t lanes = c_.gpu.properties().subgroup_size;
  const HeadLinearCut cut = head_linear_cut(run.layout.blocks(), rows(op.in), lanes, c_.tuning.batch_invariant != 0);
  const shared::HeadLinearArguments arguments = {.weight = weight_ref(run),
                                                 .step = c_.step.header(),
                                                 .x = floats(op.in),
                                                 .result = floats(op.out),
                                                 .first_head = run.first_row / outputs,
                                                 .outputs = outputs,
                                                 .padded_rows = run.layout.padded_rows,
                                                 .columns = matrix.spec.cols,
                                                 .in_share = width(op.in) / op.heads,
                                                 .in_width = width(op.in),
                                                 .out_share = width(op.out) / op.heads,
                                                 .out_width = width(op.out)};
  const PipelineKey key = {Shader::head_linear,
                           cut.subgroups * lanes,
                           {run.layout.encoding, cut.blocks, cut.tokens, cut.cluster, cut.rows, is_logits(op.in)}};
  // Runs write different heads, so only the first declares the write: no barrier between them.
  const std::array reads = {access(op.in)};
  const std::array all_writes = {access(op.out)};
  const auto writes = std::span(all_writes).first(first ? 1 : 0);
  const Groups groups = {divide_up(rows(op.in), cut.tokens), divide_up(outputs, cut.outputs(lanes)),
                         run.layout.rows / outputs};
  return commands_.dispatch(key, arguments, groups, reads, writes);
}

Result<void> StepRecorder::emit(const LatentAttention& op) {
  const uint32_t singles = c_.attention.single_tiles(bucket_.tokens, bucket_.mix);
  const LatentCut cut = c_.attention.latents(op, singles);
  if (op.value_dim % 8 != 0 || op.width % 8 != 0) {
    return fail(ErrorCode::unsupported,
                fmt::format("latents of {} values in rows of {}; the Vulkan device takes multiples of 8", op.value_dim,
                            op.width),
                "use --device cpu");
  }
  const uint64_t block_bytes = uint64_t{shared::kCacheBlockTokens} * op.width * 2;
  constexpr uint32_t kRestBytes = 2048;  // scores and sums
  if (block_bytes + kRestBytes > c_.gpu.properties().shared_memory_bytes) {
    return fail(ErrorCode::unsupported,
                fmt::format("{} has {} bytes of shared memory, and {} latent rows of {} values take {}",
                            c_.gpu.properties().name, c_.gpu.properties().shared_memory_bytes,
                            shared::kCacheBlockTokens, op.width, block_bytes),
                "use --device cpu");
  }
  const VkDeviceAddress step = c_.step.header();
  const auto distance = [](VkDeviceAddress from, VkDeviceAddress to, uint32_t unit_bytes) {
    return static_cast<uint32_t>((to - from) / unit_bytes);
  };
  const shared::LatentAttentionArguments arguments = {
      .step = step,
      .query = floats(op.query),
      .cache = c_.cache.layer(op.cache_layer.index).address(),
      .partials = c_.scratch.partials,
      .result = floats(op.out),
      .tiles = distance(step, c_.step.tiles(c_.cache.group(op.cache_layer.index)), sizeof(shared::AttentionTile)),
      .tables = distance(step, c_.step.tables(), 4),
      .counters = distance(c_.scratch.partials, c_.scratch.counters, 4),
      .heads = op.heads,
      .scale = op.scale,
      .splits = cut.splits};
  const PipelineKey key = {Shader::latent_attention,
                           cut.subgroups * c_.gpu.properties().subgroup_size,
                           {op.width, op.value_dim, cut.groups, cut.split_rows, cut.rows_at_once}};
  const std::array reads = {access(op.query), cache_access(op.cache_layer.index)};
  std::vector<Access> writes = {access(op.out)};
  if (cut.splits > 1) {
    writes.push_back({c_.scratch.partials, c_.scratch.partials + c_.scratch.partial_bytes});
    writes.push_back(c_.scratch.counter_access());
  }
  if (auto done = commands_.dispatch(key, arguments, {singles, cut.parts, cut.splits}, reads, writes); !done) {
    return done;
  }
  return place(op.out).needs_bytes ? quantize(op.out) : Result<void>{};
}

}  // namespace hearth::vulkan
