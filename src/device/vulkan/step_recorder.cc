#include "device/vulkan/step_recorder.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "device/vulkan/shaders/layout.h"

namespace hearth::vulkan {
namespace {

/// The tensor that an operation writes decides whether it belongs to the rows of tokens or of logits.
template <class Operation>
TensorId result_of(const Operation& op) {
  return op.out;
}
TensorId result_of(const AddNorm& op) { return op.residual; }

}  // namespace

AttentionShape attention_shape(const Tuning& tuning, const Attention& op, uint32_t bucket_tokens,
                               uint32_t tile_tokens) {
  const uint32_t teams = divide_up(bucket_tokens, tile_tokens) * op.kv_heads;
  return {tile_tokens, std::clamp(tuning.attention_workgroups / teams, 1U, 32U)};
}

uint32_t tile_tokens_of(const Tuning& tuning, const Recording& recording, uint32_t bucket_tokens) {
  if (bucket_tokens <= tuning.few_tokens_limit) return 1;
  uint32_t group = 1;
  for (const Operation& operation : recording.operations) {
    if (const auto* op = std::get_if<Attention>(&operation)) group = std::max(group, op->heads / op->kv_heads);
  }
  return std::clamp(8 / group, 1U, 4U);
}

uint64_t partial_floats(const AttentionShape& shape, const Attention& op, uint32_t bucket_tokens) {
  if (shape.splits == 1) return 0;
  const uint64_t queries = uint64_t{shape.tile_tokens} * (op.heads / op.kv_heads);
  return uint64_t{bucket_tokens} * op.kv_heads * shape.splits * queries * (op.head_dim + 2);
}

Result<void> StepRecorder::record(size_t first, size_t end) {
  const auto& operations = c_.recording.operations;
  for (size_t i = first; i < end; ++i) {
    commands_.begin_operation(static_cast<uint32_t>(i));
    auto recorded = std::visit(
        [&](const auto& op) -> Result<void> {
          if (rows(result_of(op)) == 0) return {};
          return emit(op);
        },
        operations[i]);
    if (!recorded) return recorded;
  }
  return {};
}

Access StepRecorder::cache_access(uint32_t layer) const {
  const Slice& slice = c_.cache.layer(layer);
  return {slice.address(), slice.address() + slice.bytes};
}

Result<void> StepRecorder::quantize(TensorId tensor) {
  const shared::QuantizeArguments arguments = {.step = c_.step.header(),
                                               .source = floats(tensor),
                                               .quants = quants(tensor),
                                               .pairs = pairs(tensor),
                                               .width = width(tensor)};
  constexpr uint32_t kThreads = 128;
  const PipelineKey key = {Shader::quantize, kThreads, {is_logits(tensor)}};
  const std::array touched = {access(tensor)};
  return commands_.dispatch(key, arguments, {rows(tensor), divide_up(width(tensor) / 4, kThreads)}, touched, touched);
}

Result<void> StepRecorder::emit(const Embed& op) {
  const Matrix& table = c_.weights.matrix(op.table);
  for (const WeightRun& run : table.runs) {
    const VkDeviceAddress at = c_.weights.slice(run).address();
    const shared::EmbedArguments arguments = {
        .table = {at, at + run.layout.extra_offset, at + run.layout.scales_offset},
        .step = c_.step.header(),
        .token_ids = c_.step.token_ids(),
        .best = c_.candidates.best,
        .result = floats(op.out),
        .first_row = run.first_row,
        .rows = run.layout.rows,
        .width = width(op.out),
        .scale = op.scale};
    const PipelineKey key = {Shader::embed, 128, {run.layout.encoding}};
    // Each run writes rows of its own tokens, so runs need no barrier between them: only the first declares the write.
    const std::array reads = {Access{c_.candidates.best, c_.candidates.best + c_.candidates.best_bytes}};
    const std::array writes = {access(op.out)};
    const size_t declared = &run == &table.runs.front() ? 1 : 0;
    if (auto done = commands_.dispatch(key, arguments, {rows(op.out)}, reads, std::span(writes).first(declared));
        !done) {
      return done;
    }
  }
  return place(op.out).needs_bytes ? quantize(op.out) : Result<void>{};
}

Result<void> StepRecorder::emit(const AddNorm& op) {
  const uint32_t quads = width(op.residual) / 4;
  if (width(op.residual) % 32 != 0) {
    return fail(ErrorCode::unsupported,
                fmt::format("a residual of {} values; the Vulkan device takes multiples of 32", width(op.residual)));
  }
  const uint32_t lanes = c_.gpu.properties().subgroup_size;
  const uint32_t most_threads = std::min(c_.tuning.norm_threads, c_.gpu.properties().max_workgroup_threads);
  const uint32_t per_thread = divide_up(quads, most_threads);
  const uint32_t threads = divide_up(divide_up(quads, per_thread), lanes) * lanes;
  const auto vector = [&](const std::optional<VectorId>& id) { return id ? c_.weights.vector(*id).address() : 0; };
  const bool wants_bytes = op.out && place(*op.out).needs_bytes;
  const shared::AddNormArguments arguments = {.step = c_.step.header(),
                                              .residual = floats(op.residual),
                                              .branch = op.branch ? floats(*op.branch) : 0,
                                              .post_norm = vector(op.post_norm),
                                              .norm = vector(op.norm),
                                              .result = op.out ? floats(*op.out) : 0,
                                              .result_quants = wants_bytes ? quants(*op.out) : 0,
                                              .result_pairs = wants_bytes ? pairs(*op.out) : 0,
                                              .width = width(op.residual),
                                              .branch_scale = op.branch_scale,
                                              .epsilon = op.epsilon};
  const PipelineKey key = {Shader::add_norm,
                           threads,
                           {per_thread, op.branch.has_value(), op.post_norm.has_value(), op.norm.has_value(),
                            op.out && place(*op.out).needs_floats, wants_bytes, is_logits(op.residual)}};
  std::vector<Access> reads = {access(op.residual)};
  std::vector<Access> writes;
  if (op.branch) {
    reads.push_back(access(*op.branch));
    writes.push_back(access(op.residual));
  }
  if (op.norm) writes.push_back(access(*op.out));
  return commands_.dispatch(key, arguments, {rows(op.residual)}, reads, writes);
}

Result<void> StepRecorder::emit(const RopeAndStore& op) {
  const RopeTables rope = op.rope ? c_.ropes[op.rope->index] : RopeTables{};
  const auto vector = [&](const std::optional<VectorId>& id) { return id ? c_.weights.vector(*id).address() : 0; };
  const shared::RopeAndStoreArguments arguments = {.step = c_.step.header(),
                                                   .qkv = floats(op.qkv),
                                                   .positions = c_.step.positions(),
                                                   .slots = c_.step.slots(c_.cache.group(op.cache_layer)),
                                                   .q_norm = vector(op.q_norm),
                                                   .k_norm = vector(op.k_norm),
                                                   .rope_coarse = rope.coarse,
                                                   .rope_fine = rope.fine,
                                                   .cache = c_.cache.layer(op.cache_layer).address(),
                                                   .query = floats(op.out),
                                                   .heads = op.heads,
                                                   .kv_heads = op.kv_heads,
                                                   .pairs = rope.pairs,
                                                   .epsilon = op.epsilon};
  constexpr uint32_t kSubgroups = 4;
  const bool interleaved = op.rope && c_.recording.ropes[op.rope->index].interleaved;
  const PipelineKey key = {Shader::rope_and_store,
                           kSubgroups * c_.gpu.properties().subgroup_size,
                           {op.head_dim, op.q_norm.has_value(), op.k_norm.has_value(), interleaved}};
  const std::array reads = {access(op.qkv)};
  const std::array writes = {access(op.out), cache_access(op.cache_layer)};
  return commands_.dispatch(key, arguments, {rows(op.out), divide_up(op.heads + 2 * op.kv_heads, kSubgroups)}, reads,
                            writes);
}

Result<void> StepRecorder::emit(const Attention& op) {
  const Tuning& tuning = c_.tuning;
  const uint32_t tile_tokens = tile_tokens_of(tuning, c_.recording, bucket_.tokens);
  const AttentionShape shape = attention_shape(tuning, op, bucket_.tokens, tile_tokens);
  const bool wants_bytes = place(op.out).needs_bytes;
  const bool makes_bytes = wants_bytes && op.head_dim % 32 == 0;
  const shared::AttentionArguments arguments = {.step = c_.step.header(),
                                                .query = floats(op.query),
                                                .tiles = c_.step.tiles(c_.cache.group(op.cache_layer)),
                                                .tables = c_.step.tables(),
                                                .cache = c_.cache.layer(op.cache_layer).address(),
                                                .sinks = op.sinks ? c_.weights.vector(*op.sinks).address() : 0,
                                                .partials = c_.scratch.partials,
                                                .counters = c_.scratch.counters,
                                                .result = floats(op.out),
                                                .result_quants = makes_bytes ? quants(op.out) : 0,
                                                .result_pairs = makes_bytes ? pairs(op.out) : 0,
                                                .kv_heads = op.kv_heads,
                                                .scale = op.scale,
                                                .softcap = op.softcap,
                                                .window = op.window,
                                                .splits = shape.splits};
  const PipelineKey key = {
      Shader::attention,
      tuning.attention_threads,
      {op.head_dim, op.heads / op.kv_heads, shape.tile_tokens, tuning.attention_keys, tuning.attention_split_keys,
       op.sinks.has_value(), place(op.out).needs_floats || (wants_bytes && !makes_bytes), makes_bytes}};
  const std::array reads = {access(op.query), cache_access(op.cache_layer)};
  std::vector<Access> writes = {access(op.out)};
  if (shape.splits > 1) {
    writes.push_back({c_.scratch.partials, c_.scratch.partials + c_.scratch.partial_bytes});
    writes.push_back(c_.scratch.counter_access());
  }
  // Tiles hold at least one token, so there are never more of them than tokens.
  const Groups groups = {bucket_.tokens, op.kv_heads, shape.splits};
  if (auto done = commands_.dispatch(key, arguments, groups, reads, writes); !done) return done;
  return wants_bytes && !makes_bytes ? quantize(op.out) : Result<void>{};
}

Result<void> StepRecorder::emit(const SelectRows& op) {
  const shared::SelectRowsArguments arguments = {.step = c_.step.header(),
                                                 .rows = c_.step.logit_rows(),
                                                 .source = floats(op.in),
                                                 .result = floats(op.out),
                                                 .width = width(op.in)};
  const std::array reads = {access(op.in)};
  const std::array writes = {access(op.out)};
  constexpr uint32_t kThreads = 128;
  const PipelineKey key = {Shader::select_rows, kThreads, {}};
  const Groups groups = {rows(op.out), divide_up(width(op.in), kThreads)};
  if (auto done = commands_.dispatch(key, arguments, groups, reads, writes); !done) return done;
  return place(op.out).needs_bytes ? quantize(op.out) : Result<void>{};
}

}  // namespace hearth::vulkan
