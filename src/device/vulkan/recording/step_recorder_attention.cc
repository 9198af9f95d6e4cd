#include <algorithm>
#include <array>

#include "device/vulkan/recording/step_recorder.h"
#include "device/vulkan/shaders/layout.h"

namespace hearth::vulkan {
namespace {

/// Where a push constant counts from another address in units of so many bytes.
uint32_t distance(VkDeviceAddress from, VkDeviceAddress to, uint32_t unit_bytes) {
  return static_cast<uint32_t>((to - from) / unit_bytes);
}

}  // namespace

VkDeviceAddress StepRecorder::vector_address(const std::optional<VectorId>& id) const {
  return id ? c_.weights.vector(*id).address() : 0;
}

Result<void> StepRecorder::emit(const RopeAndStore& op) {
  if (c_.attention.fuses(bucket_.mix)) return {};  // the attention that comes next does it
  const RopeTables rope = op.rope ? c_.ropes[op.rope->index] : RopeTables{};
  if (op.norm_after_rope && op.rope && c_.recording.ropes[op.rope->index].magnitude != 1) {
    return fail(ErrorCode::unsupported, "a norm behind a rope that stretches heads is not built for Vulkan",
                "use --device cpu");
  }
  const bool stores = op.kv_heads > 0;
  const shared::RopeAndStoreArguments arguments = {
      .step = c_.step.header(),
      .qkv = floats(op.qkv),
      .positions = c_.step.positions(),
      .slots = stores ? c_.step.slots(c_.cache.group(op.cache_layer.index)) : 0,
      .q_norm = vector_address(op.q_norm),
      .k_norm = vector_address(op.k_norm),
      .rope = rope.table,
      .cache = stores ? c_.cache.layer(op.cache_layer.index).address() : 0,
      .query = floats(op.out),
      .heads = op.heads,
      .kv_heads = op.kv_heads,
      .pairs = rope.pairs,
      .epsilon = op.epsilon,
      .query_growth = op.query_growth,
      .query_growth_positions = op.query_growth_positions,
      .query_growth_shift = op.query_growth_shift};
  constexpr uint32_t kSubgroups = 4;
  const PipelineKey key = {Shader::rope_and_store,
                           kSubgroups * c_.gpu.properties().subgroup_size,
                           {op.head_dim, op.q_norm.has_value(), op.k_norm.has_value(), is_interleaved(op),
                            op.head_norm == HeadNorm::all_heads, op.norm_after_rope, op.query_growth != 0, op.v_norm,
                            op.values_are_keys, op.head_norm == HeadNorm::layer_norms}};
  const std::array reads = {access(op.qkv)};
  std::vector<Access> writes = {access(op.out)};
  if (stores) writes.push_back(cache_access(op.cache_layer.index));
  return commands_.dispatch(key, arguments, {rows(op.out), divide_up(op.heads + 2 * op.kv_heads, kSubgroups)}, reads,
                            writes);
}

bool StepRecorder::is_interleaved(const RopeAndStore& op) const {
  return op.rope && c_.recording.ropes[op.rope->index].interleaved;
}

/// Found by its layer rather than remembered: the step may be cut into submits between the two.
const RopeAndStore* StepRecorder::fused_rope(const Attention& op) const {
  if (!c_.attention.fuses(bucket_.mix)) return nullptr;
  for (const Operation& operation : c_.recording.operations) {
    const auto* rope = std::get_if<RopeAndStore>(&operation);
    if (rope != nullptr && rope->cache_layer.index == op.cache_layer.index) return rope;
  }
  return nullptr;
}

Result<void> StepRecorder::emit(const Attention& op) {
  const RopeAndStore* rope = fused_rope(op);
  const uint32_t singles = c_.attention.single_tiles(bucket_.tokens, bucket_.mix);
  if (singles > 0) {
    if (auto done = attend_few(op, rope, singles); !done) return done;
  }
  const AttentionPath path = c_.attention.path(bucket_.tokens);
  const bool has_tiles = bucket_.mix == Mix::prompts || bucket_.mix == Mix::both;
  if (has_tiles && path != AttentionPath::few) {
    if (auto done = attend_tiles(op, path, singles == 0); !done) return done;
  }
  return place(op.out).needs_bytes && !makes_bytes(op) ? quantize(op.out) : Result<void>{};
}

shared::AttentionArguments StepRecorder::attention_arguments(const Attention& op) const {
  const VkDeviceAddress step = c_.step.header(), result = floats(op.out);
  return {.step = step,
          .query = floats(op.query),
          .cache = c_.cache.layer(op.cache_layer.index).address(),
          .sinks = vector_address(op.sinks),
          .partials = c_.scratch.partials,
          .result = result,
          .tiles = distance(step, c_.step.tiles(c_.cache.group(op.cache_layer.index)), sizeof(shared::AttentionTile)),
          .tables = distance(step, c_.step.tables(), 4),
          .counters = distance(c_.scratch.partials, c_.scratch.counters, 4),
          .result_quants = makes_bytes(op) ? distance(result, quants(op.out), 4) : 0,
          .result_pairs = makes_bytes(op) ? distance(result, pairs(op.out), 8) : 0,
          .kv_heads = op.kv_heads,
          .scale = op.scale,
          .softcap = op.softcap,
          .window = op.window | (op.chunked ? shared::kWindowIsChunk : 0),
          .splits = 1,
          .fragments = distance(result, c_.activations.address() + c_.activations.halved_bytes().halves, 8),
          .fragment_scales = distance(result, c_.activations.address() + c_.activations.halved_bytes().scales, 4)};
}

/// The first constants of every attention shader, then `more`.
std::vector<uint32_t> StepRecorder::attention_constants(const Attention& op,
                                                        std::initializer_list<uint32_t> more) const {
  const bool wants_bytes = place(op.out).needs_bytes;
  std::vector<uint32_t> constants = {op.head_dim, op.heads / op.kv_heads, op.sinks.has_value(),
                                     place(op.out).needs_floats || (wants_bytes && !makes_bytes(op)), makes_bytes(op)};
  constants.insert(constants.end(), more);
  return constants;
}

Result<void> StepRecorder::attend_few(const Attention& op, const RopeAndStore* rope, uint32_t singles) {
  const FewAttention few = c_.attention.few(op, singles);
  shared::AttentionArguments arguments = attention_arguments(op);
  arguments.splits = few.splits;
  std::vector<Access> reads = {cache_access(op.cache_layer.index)};
  std::vector<Access> writes = {access(op.out)};
  if (rope != nullptr) {
    const RopeTables tables = rope->rope ? c_.ropes[rope->rope->index] : RopeTables{};
    arguments.query = floats(rope->qkv);
    arguments.q_norm = vector_address(rope->q_norm);
    arguments.k_norm = vector_address(rope->k_norm);
    arguments.rope = tables.table;
    arguments.pairs = tables.pairs;
    arguments.epsilon = rope->epsilon;
    reads.push_back(access(rope->qkv));
    writes.push_back(cache_access(op.cache_layer.index));
  } else {
    reads.push_back(access(op.query));
  }
  if (few.splits > 1) {
    writes.push_back({c_.scratch.partials, c_.scratch.partials + c_.scratch.partial_bytes});
    writes.push_back(c_.scratch.counter_access());
  }
  const auto order = fragments_beside();
  if (order) writes.push_back(access(c_.activations.halved_bytes()));
  PipelineKey key = {Shader::attention_few, few.subgroups * c_.gpu.properties().subgroup_size,
                     attention_constants(op, {few.heads, few.key_lanes, few.rounds, few.split_keys, rope != nullptr,
                                              rope != nullptr && rope->q_norm, rope != nullptr && rope->k_norm,
                                              rope != nullptr && is_interleaved(*rope)})};
  if (order) add_order(*order, key.constants);
  return commands_.dispatch(key, arguments, {singles, op.kv_heads * few.parts, few.splits}, reads, writes);
}

Result<void> StepRecorder::attend_tiles(const Attention& op, AttentionPath path, bool first) {
  const Groups groups = {c_.attention.token_tiles(bucket_.tokens), op.kv_heads};
  const std::array reads = {access(op.query), cache_access(op.cache_layer.index)};
  // Single tokens' rows are others, so only the first launch declares the write: no barrier between the two.
  const std::array all_writes = {access(op.out)};
  const auto writes = std::span(all_writes).first(first ? 1 : 0);
  if (path == AttentionPath::tiles) {
    const uint32_t tokens = c_.attention.tile_tokens(bucket_.tokens);
    const PipelineKey key = {Shader::attention_many, c_.tuning.attention_threads,
                             attention_constants(op, {tokens, c_.tuning.attention_keys})};
    return commands_.dispatch(key, attention_arguments(op), groups, reads, writes);
  }
  const MatrixAttention m = c_.attention.matrices(op);
  const PipelineKey key = {Shader::attention_matrix, m.subgroups * c_.gpu.properties().subgroup_size,
                           attention_constants(op, {m.rows, m.columns, m.depth, m.keys, m.queries_in_registers,
                                                    c_.tuning.attention_transpose_values, m.take_turns})};
  return commands_.dispatch(key, attention_arguments(op), groups, reads, writes);
}

}  // namespace hearth::vulkan
