#include "device/vulkan/paths/matrix_path.h"

#include <algorithm>

#include "device/vulkan/gpu/cooperative_matrices.h"
#include "device/vulkan/memory/weight_layout.h"
#include "device/vulkan/shaders/layout.h"

namespace hearth::vulkan {
namespace {

/// What an encoding's matrices multiply.
struct Kind : MatrixNumbers {
  uint32_t halves = 1;       ///< values that an activation is the sum of
  uint32_t least_depth = 1;  ///< of a stage, which has whole blocks
};
constexpr Kind kOfBytes = {kBytesToIntegers};
constexpr Kind kOfHalves = {kHalvesToFloats, 2};
constexpr Kind kOfDecoded = {kHalvesToFloats, 1, 2};

std::optional<Kind> kind_of(const GpuProperties& gpu, uint32_t encoding, bool decode) {
  if (uses_quantized_activations(encoding)) return decode && gpu.float16 ? kOfDecoded : kOfBytes;
  if (uses_split_activations(encoding) && gpu.float16) return kOfHalves;
  return {};
}

bool decodes(const Tuning& tuning, uint32_t tokens) {
  return tuning.decode_from_tokens > 0 && tokens >= tuning.decode_from_tokens;
}

/// Subgroups that share a tile.
uint32_t parts_of(const MatrixTuning& t) { return t.tile_rows / t.sub_rows * (t.tile_tokens / t.sub_tokens); }

/// Bytes of the sums that subgroups hand on through shared memory (shaders/matrix_tile.glsl).
uint64_t scratch_bytes(const MatrixTuning& t, const CooperativeMatrixShape& shape) {
  return uint64_t{t.teams} * parts_of(t) * shape.m * shape.n * 4;
}

/// Bytes of shared memory with matrices of f16; the arrays of shaders/half_matrix_tokens.glsl.
uint64_t half_shared_bytes(const MatrixTuning& t, const CooperativeMatrixShape& shape, uint32_t halves) {
  const uint64_t stage = (uint64_t{t.tile_rows} + halves * t.tile_tokens) * (2 * t.depth + 1) * 16;
  const uint64_t scales = (uint64_t{t.tile_rows} + t.tile_tokens) * 4;
  return t.teams * t.buffers * stage + scales + scratch_bytes(t, shape);
}

/// Bytes of shared memory; with matrices of bytes the arrays of shaders/matrix_tokens.glsl.
uint64_t shared_bytes(const MatrixTuning& t, const CooperativeMatrixShape& shape, uint32_t encoding, const Kind& kind) {
  if (kind.value_bytes == 2) return half_shared_bytes(t, shape, kind.halves);
  const bool halves = encoding == shared::kEncodingQ6_K;
  const uint64_t weight_octets = halves && shape.k > 16 ? 8 : 4;
  const uint64_t weights = uint64_t{t.tile_rows} * (t.depth * weight_octets + 2) * 8;
  const uint64_t vectors = uint64_t{t.tile_tokens} * (t.depth * 4 + 2) * 8;
  const uint64_t scales = uint64_t{t.depth} * 4 * (2 * t.tile_rows + 2 * t.tile_tokens);  // with halves or offsets
  const uint64_t stage = weights + vectors + scales;
  return t.teams * t.buffers * stage + scratch_bytes(t, shape);
}

/// Sums that a lane holds in registers.
uint32_t sums_of_lane(const MatrixTuning& t, uint32_t lanes) { return t.sub_rows * t.sub_tokens / lanes; }
constexpr uint32_t kMostSums = 64, kMostSumsOfDecoded = 128;

/// The most tokens of a subgroup's part, at most `most`, of a tile that is whole parts of whole matrices of `n`.
uint32_t part_tokens(uint32_t tile, uint32_t n, uint32_t most) {
  uint32_t part = tile;
  while (part > n && (part > most || tile % part != 0)) part -= n;
  return part;
}

/// The most rows of a subgroup's part, at most `most`, of a tile that is whole parts of `step` rows: 48 of 96 with 64.
uint32_t part_rows(uint32_t tile, uint32_t step, uint32_t most) {
  uint32_t part = most;
  while (part > step && tile > part && tile % part != 0) part -= step;
  return part;
}

/// The tile of a bucket of tokens, no larger than they need where `step` divides it: so a step of one more token is
/// hardly slower. More than 64 take `most` at most.
uint32_t tile_tokens(uint32_t tokens, uint32_t step, uint32_t most) {
  const uint32_t needed = divide_up(tokens, step) * step;
  return tokens > 64 ? std::min(most, needed) : needed;
}

}  // namespace

std::optional<MatrixPlan> plan_matrix_path(const GpuProperties& gpu, const Tuning& tuning, const WeightLayout& layout,
                                           uint32_t matrices, uint32_t tokens) {
  const uint32_t encoding = layout.encoding;
  const bool decodable = uses_quantized_activations(encoding) && layout.decodable;
  const bool decoded = decodable && decodes(tuning, tokens) && multiplies_halves(gpu);
  const auto kind = kind_of(gpu, encoding, decoded);
  if (!kind || tuning.many_tokens_path == static_cast<uint32_t>(ManyTokensPath::dot)) return {};
  MatrixTuning t = matrix_tuning(tuning, tokens, decoded);
  const uint32_t most_tokens = t.tile_tokens;
  t.tile_tokens = tile_tokens(tokens, 8, most_tokens);
  auto shape = matrix_shape(gpu, *kind, t.tile_tokens);
  if (!shape) {
    t.tile_tokens = tile_tokens(tokens, 16, most_tokens);
    shape = matrix_shape(gpu, *kind, t.tile_tokens);
  }
  if (!shape) return {};
  const uint32_t most_sums = decoded ? kMostSumsOfDecoded : kMostSums;
  t.sub_rows = std::max(t.sub_rows, matrices * shape->m);
  t.sub_tokens = part_tokens(t.tile_tokens, shape->n, t.sub_tokens);
  while (sums_of_lane(t, gpu.subgroup_size) > most_sums && t.sub_tokens > shape->n) {
    t.sub_tokens = part_tokens(t.tile_tokens, shape->n, t.sub_tokens - shape->n);
  }
  while (sums_of_lane(t, gpu.subgroup_size) > most_sums && t.sub_rows > matrices * shape->m) t.sub_rows /= 2;
  t.sub_rows = part_rows(t.tile_rows, matrices * shape->m, t.sub_rows);
  t.tile_rows = std::max(t.tile_rows, t.sub_rows);
  const auto fits = [&] { return shared_bytes(t, *shape, encoding, *kind) <= gpu.shared_memory_bytes; };
  const uint32_t most_subgroups = gpu.max_workgroup_threads / gpu.subgroup_size;
  while (t.tile_tokens > t.sub_tokens && parts_of(t) > most_subgroups) t.tile_tokens -= t.sub_tokens;
  const uint32_t row_depth = layout.cols * kind->value_bytes / kDepthBytes;
  const uint32_t least = kind->least_depth;
  t.depth = std::max(t.depth, least);
  while (row_depth % t.depth != 0) t.depth /= 2;
  while (t.teams > 1 && (row_depth % (t.teams * t.depth) != 0 || t.teams * parts_of(t) > most_subgroups)) t.teams /= 2;
  if (parts_of(t) == 1 || !fits()) t.buffers = 1;  // a subgroup alone waits for nobody
  while (t.teams > 1 && !fits()) t.teams /= 2;
  while (t.depth > least && !fits()) t.depth /= 2;
  while (t.tile_tokens > t.sub_tokens && !fits()) t.tile_tokens -= t.sub_tokens;
  // Mesa does not unroll the staging of several blocks of q6_k: they would lie in memory (RDNA3).
  const uint32_t threads = parts_of(t) * gpu.subgroup_size;
  const bool is_q6_k = encoding == shared::kEncodingQ6_K;
  while (is_q6_k && t.depth > least && t.tile_rows * (t.depth / least) > threads) t.depth /= 2;
  const uint32_t subgroups = t.teams * parts_of(t);
  if (!fits() || subgroups > most_subgroups) return {};
  return MatrixPlan{t, subgroups, *shape, decoded};
}

}  // namespace hearth::vulkan
