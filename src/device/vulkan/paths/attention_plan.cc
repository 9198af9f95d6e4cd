#include "device/vulkan/paths/attention_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <vector>

#include "device/operation_uses.h"
#include "device/vulkan/shaders/layout.h"

namespace hearth::vulkan {
namespace {

/// More takes occupancy from devices that have more, and is what many have at all.
constexpr uint32_t kSharedBytes = 32768;
/// NVIDIA's limit, for heads that do not fit in less.
constexpr uint32_t kMostSharedBytes = 49152;
/// Wider heads' accumulators would not fit in registers.
constexpr uint32_t kWidestMatrixHead = 256;
/// Wider heads' queries would not fit in registers beside their accumulators.
constexpr uint32_t kWidestQueriesInRegisters = 128;

/// Even where there are tokens enough to fill the device, one long context among them is not left to one workgroup.
constexpr uint32_t kLeastSplits = 4;
constexpr uint32_t kMostSplits = 32;
constexpr uint32_t kWorkgroupsPerUnit = 4;
constexpr uint32_t kUnknownUnits = 64;
/// So many for each unit take turns on a discrete GPU: of half the size they wait less for one another (H200;
/// docs/performance.md).
constexpr uint32_t kCrowdPerUnit = 6;

/// Of a workgroup over latent rows.
constexpr uint32_t kLatentHeads = 8;
constexpr uint32_t kMostLatentThreads = 256;
/// More tokens of a sequence are always cut into tiles.
constexpr uint32_t kFewTokens = 8;

/// Whether `operation` reads `tensor`, other than an Attention as its query.
bool reads(const Operation& operation, TensorId tensor) {
  if (std::holds_alternative<Attention>(operation)) return false;
  const std::vector<TensorId> read = touched_tensors(operation).read;
  return std::ranges::find(read, tensor.index, &TensorId::index) != read.end();
}

/// Whether each RopeAndStore's queries go to the Attention behind it and nowhere else.
bool is_fusable(const Recording& recording) {
  const auto& ops = recording.operations;
  for (size_t i = 0; i < ops.size(); ++i) {
    const auto* attention = std::get_if<Attention>(&ops[i]);
    if (attention != nullptr && (i == 0 || !std::holds_alternative<RopeAndStore>(ops[i - 1]))) return false;
    const auto* rope = std::get_if<RopeAndStore>(&ops[i]);
    if (rope == nullptr) continue;
    const auto* next = i + 1 < ops.size() ? std::get_if<Attention>(&ops[i + 1]) : nullptr;
    const bool is_plain = rope->head_norm == HeadNorm::each_head && !rope->norm_after_rope && !rope->v_norm &&
                          !rope->values_are_keys && rope->query_growth == 0;
    if (!is_plain || next == nullptr || next->query.index != rope->out.index ||
        next->cache_layer.index != rope->cache_layer.index || next->heads != rope->heads ||
        next->kv_heads != rope->kv_heads || next->head_dim != rope->head_dim ||
        std::ranges::any_of(ops, [&](const Operation& op) { return reads(op, rope->out); })) {
      return false;
    }
  }
  return true;
}

/// Of attention_matrix.comp.
uint32_t shared_bytes(const MatrixAttention& m, uint32_t head_dim, bool transposed) {
  const uint32_t queries = m.subgroups * m.rows;
  const uint32_t head = 2 * (head_dim + 8), weights = 2 * (m.keys + 8);
  const uint32_t keys = m.keys * head, values = transposed ? head_dim * weights : keys;
  const uint32_t staged = m.take_turns ? std::max(keys, values) : keys + values;
  const uint32_t halves = m.queries_in_registers ? std::max(queries * head, staged) : queries * head + staged;
  return halves + queries * (4 * (m.keys + 4) + weights + 4);
}

}  // namespace

Result<AttentionPlan> AttentionPlan::make(const GpuProperties& gpu, const Tuning& tuning, const Recording& recording,
                                          const ProgramLimits& limits) {
  AttentionPlan plan(gpu, tuning);
  plan.sequences_ = limits.sequences;
  plan.fusable_ = tuning.attention_separate_rope == 0 && is_fusable(recording);
  plan.plain_tile_tokens_ = 4;
  plan.matrix_tile_tokens_ = UINT32_MAX;
  for (const Operation& operation : recording.operations) {
    // Over latent rows each token attends by itself.
    if (std::holds_alternative<LatentAttention>(operation)) plan.plain_tile_tokens_ = plan.matrix_tile_tokens_ = 1;
    const auto* op = std::get_if<Attention>(&operation);
    if (op == nullptr) continue;
    const uint32_t group = op->heads / op->kv_heads;
    plan.plain_tile_tokens_ = std::min(plan.plain_tile_tokens_, std::max(8 / group, 1U));
    const auto matrices = plan.matrix_attention(*op);
    const uint32_t tokens = matrices ? matrices->subgroups * matrices->rows / group : 0;
    plan.matrix_tile_tokens_ = std::min(plan.matrix_tile_tokens_, tokens);
  }
  if (tuning.attention_path > static_cast<uint32_t>(AttentionPath::matrices)) {
    return fail(ErrorCode::invalid_argument, fmt::format("there is no attention_path {}", tuning.attention_path));
  }
  if (tuning.attention_path == static_cast<uint32_t>(AttentionPath::matrices) && plan.matrix_tile_tokens_ == 0) {
    return fail(ErrorCode::unsupported, fmt::format("{} has no matrices for this model's attention", gpu.name));
  }
  return plan;
}

AttentionPath AttentionPlan::path(uint32_t bucket_tokens) const {
  auto path = static_cast<AttentionPath>(tuning_.attention_path);
  if (tuning_.attention_path == 0) {
    path = matrix_tile_tokens_ > 0 ? AttentionPath::matrices : AttentionPath::tiles;
    if (bucket_tokens <= tuning_.few_tokens_limit) path = AttentionPath::few;
  }
  // Tiles of one token are what `few` is made for.
  const uint32_t tokens = path == AttentionPath::tiles ? plain_tile_tokens_ : matrix_tile_tokens_;
  return tokens == 1 ? AttentionPath::few : path;
}

uint32_t AttentionPlan::tile_tokens(uint32_t bucket_tokens) const {
  switch (path(bucket_tokens)) {
    case AttentionPath::tiles:
      return plain_tile_tokens_;
    case AttentionPath::matrices:
      return matrix_tile_tokens_;
    default:
      return 1;
  }
}

uint32_t AttentionPlan::tokens_apart(const StepInput& input, uint32_t bucket_tokens) const {
  if (path(bucket_tokens) == AttentionPath::few) return UINT32_MAX;
  uint32_t singles = 0, few = 0;
  bool has_prompts = false;
  for (const SequenceInput& sequence : input.sequences) {
    const bool is_few = sequence.token_count <= kFewTokens;
    has_prompts = has_prompts || !is_few;
    (sequence.token_count == 1 ? singles : few) += is_few ? sequence.token_count : 0;
  }
  // Beside prompts the grid has a place for each sequence and no more.
  return few <= tuning_.attention_apart && (!has_prompts || singles + few <= sequences_) ? kFewTokens : 1;
}

Mix AttentionPlan::mix(const StepInput& input, uint32_t bucket_tokens) const {
  const auto has_at_most = [&](uint32_t tokens) {
    return [tokens](const SequenceInput& sequence) { return sequence.token_count <= tokens; };
  };
  if (std::ranges::all_of(input.sequences, has_at_most(1))) return Mix::single_tokens;
  const auto is_apart = has_at_most(tokens_apart(input, bucket_tokens));
  if (std::ranges::all_of(input.sequences, is_apart)) return Mix::apart;
  return std::ranges::any_of(input.sequences, is_apart) ? Mix::both : Mix::prompts;
}

uint32_t AttentionPlan::single_tiles(uint32_t bucket_tokens, Mix mix) const {
  if (mix == Mix::single_tokens) return std::min(bucket_tokens, sequences_);
  if (path(bucket_tokens) == AttentionPath::few) return bucket_tokens;
  if (mix == Mix::apart) return std::min(bucket_tokens, sequences_ + tuning_.attention_apart);
  return mix == Mix::both ? std::min(bucket_tokens, sequences_) : 0;
}

uint32_t AttentionPlan::token_tiles(uint32_t bucket_tokens) const {
  return std::min(bucket_tokens, divide_up(bucket_tokens, tile_tokens(bucket_tokens)) + sequences_);
}

FewAttention AttentionPlan::few(const Attention& op, uint32_t single_tiles) const {
  const uint32_t chunks = op.head_dim / 8;
  const uint32_t group = op.heads / op.kv_heads;
  FewAttention few;
  few.key_lanes = std::min(std::bit_ceil(chunks), gpu_.subgroup_size);
  const uint32_t lane_chunks = divide_up(chunks, few.key_lanes);
  // More chunks in a lane leave registers for fewer keys and heads.
  // A processor that plays GPU has no latency to hide and takes minutes to compile what fills a GPU's registers.
  const bool is_processor = gpu_.type == VK_PHYSICAL_DEVICE_TYPE_CPU;
  const auto chosen = [&](uint32_t value, uint32_t on_gpu, uint32_t on_processor) {
    return value > 0 ? value : is_processor ? on_processor : on_gpu;
  };
  // More chunks in a lane leave registers for fewer keys and heads.
  few.rounds = std::bit_floor(std::clamp(chosen(tuning_.attention_rounds, 8, 2) / lane_chunks, 1U,
                                         std::min(few.key_lanes, uint32_t{shared::kCacheBlockTokens})));
  few.parts = divide_up(group, std::clamp(chosen(tuning_.attention_heads, 8, 1) / lane_chunks, 1U, group));
  few.heads = divide_up(group, few.parts);
  few.parts = divide_up(group, few.heads);
  few.subgroups = few_subgroups(op, few.heads);
  if (is_crowd(single_tiles * op.kv_heads * few.parts)) few.subgroups = divide_up(few.subgroups, 2);
  few.split_keys = divide_up(tuning_.attention_split_keys, shared::kCacheBlockTokens) * shared::kCacheBlockTokens;

  few.splits = std::clamp(workgroups_wanted() / (single_tiles * op.kv_heads * few.parts), kLeastSplits, kMostSplits);
  // Stretches, and so the order of a sum, are then a matter of the token's position alone.
  if (tuning_.batch_invariant != 0) few.splits = kLeastSplits;
  // A window begins up to rounds - 1 keys before what is seen.
  if (op.window > 0) few.splits = std::min(few.splits, divide_up(op.window + few.rounds, few.split_keys));
  return few;
}

LatentCut AttentionPlan::latents(const LatentAttention& op, uint32_t single_tiles) const {
  const bool is_processor = gpu_.type == VK_PHYSICAL_DEVICE_TYPE_CPU;
  const uint32_t heads = tuning_.latent_heads > 0 ? tuning_.latent_heads : is_processor ? 1 : kLatentHeads;
  const uint32_t threads = std::min(kMostLatentThreads, gpu_.max_workgroup_threads);
  const uint32_t most_subgroups = std::min(tuning_.latent_subgroups, threads / gpu_.subgroup_size);
  LatentCut cut;
  cut.subgroups = std::bit_floor(std::clamp(most_subgroups, 1U, shared::kCacheBlockTokens));
  const uint32_t groups = divide_up(std::min(heads, op.heads), LatentCut::kGroupHeads);
  cut.groups = std::bit_floor(std::clamp(groups, 1U, cut.subgroups));
  // A subgroup scores four rows of a block at a time.
  cut.subgroups = std::min(cut.subgroups, cut.groups * shared::kCacheBlockTokens / 4);
  cut.parts = divide_up(op.heads, cut.heads());
  cut.rows_at_once = is_processor ? 1 : shared::kCacheBlockTokens;
  cut.split_rows = divide_up(tuning_.attention_split_keys, shared::kCacheBlockTokens) * shared::kCacheBlockTokens;
  // Every part is as wide as the latent: where tokens fill the device, contexts are not split.
  cut.splits = std::clamp(workgroups_wanted() / (single_tiles * cut.parts), 1U, kMostSplits);
  if (tuning_.batch_invariant != 0) cut.splits = 1;
  return cut;
}

uint32_t AttentionPlan::units() const { return gpu_.compute_units > 0 ? gpu_.compute_units : kUnknownUnits; }

uint32_t AttentionPlan::workgroups_wanted() const {
  return tuning_.attention_workgroups > 0 ? tuning_.attention_workgroups : kWorkgroupsPerUnit * units();
}

/// The order of a sum over a context depends on how many subgroups share it.
bool AttentionPlan::is_crowd(uint32_t workgroups) const {
  const bool may_differ = tuning_.batch_invariant == 0 && gpu_.type == VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU;
  return may_differ && workgroups > kCrowdPerUnit * units();
}

uint32_t AttentionPlan::few_subgroups(const Attention& op, uint32_t heads) const {
  const auto bytes = [&](uint32_t subgroups) {
    return 4 * (subgroups * heads * (op.head_dim + 2) + (heads + 2) * op.head_dim + 1);
  };
  uint32_t subgroups =
      std::min(std::max(tuning_.attention_subgroups, 1U), gpu_.max_workgroup_threads / gpu_.subgroup_size);
  while (subgroups > 1 && bytes(subgroups) > std::min(kSharedBytes, gpu_.shared_memory_bytes)) --subgroups;
  return subgroups;
}

std::optional<MatrixAttention> AttentionPlan::matrix_attention(const Attention& op) const {
  if (!gpu_.float16 || op.head_dim > kWidestMatrixHead) return {};
  const uint32_t lanes = gpu_.subgroup_size;
  MatrixAttention m;
  m.keys = std::max(divide_up(tuning_.attention_matrix_keys, 32), 1U) * 32;
  for (const CooperativeMatrixShape& shape : gpu_.cooperative_matrices) {
    const bool fits = shape.inputs == "f16" && shape.results == "f32" && lanes % shape.m == 0 &&
                      m.keys % (4 * lanes / shape.m) == 0 && m.keys % shape.n == 0 && m.keys % shape.k == 0 &&
                      op.head_dim % shape.n == 0 && op.head_dim % shape.k == 0 && shape.n % 4 == 0 && shape.k % 4 == 0;
    // The largest square: what all vendors' units have.
    if (fits && shape.m == shape.n && shape.m > m.rows) {
      m.rows = shape.m, m.columns = shape.n, m.depth = shape.k;
    }
  }
  if (m.rows == 0) return {};
  const bool narrow = op.head_dim <= kWidestQueriesInRegisters;
  m.queries_in_registers = narrow && tuning_.attention_shared_queries == 0;
  m.take_turns = !narrow;
  m.subgroups = std::clamp(tuning_.attention_matrix_subgroups, 1U, gpu_.max_workgroup_threads / lanes);
  const uint32_t most = std::min(kMostSharedBytes, gpu_.shared_memory_bytes);
  while (m.subgroups > 0 && shared_bytes(m, op.head_dim, tuning_.attention_transpose_values != 0) > most) {
    --m.subgroups;
  }
  // A tile must hold a token with all its query heads.
  if (m.subgroups * m.rows < op.heads / op.kv_heads) return {};
  return m;
}

}  // namespace hearth::vulkan
