#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "base/result.h"
#include "device/vulkan/gpu/divide_up.h"
#include "device/vulkan/gpu/gpu.h"

namespace hearth::vulkan {

/// A matmul over few tokens: `subgroups` in a workgroup, `rows` for each cluster of `cluster` lanes at once, `split`
/// subgroups sharing rows along the row, `unroll` blocks of each row in flight for a lane, which waits for all of them
/// together with up to `joined` tokens.
struct FewTokensTuning {
  uint32_t subgroups = 4;
  uint32_t rows = 4;
  uint32_t split = 1;
  uint32_t unroll = 1;
  uint32_t cluster = 8;
  uint32_t joined = 0;
};

/// A matmul on cooperative matrices (shaders/matrix_tokens.glsl): the workgroup's tile, a subgroup's part of it, teams
/// of subgroups that take turns along the row, blocks of a row staged at once, stages of a team in shared memory.
struct MatrixTuning {
  uint32_t teams = 1;
  uint32_t tile_rows = 64;
  uint32_t tile_tokens = 64;
  uint32_t sub_rows = 32;
  uint32_t sub_tokens = 32;
  uint32_t depth = 2;
  uint32_t buffers = 2;
};

/// A matmul on cooperative matrices of a whole workgroup (shaders/workgroup_matrix_tokens.glsl), where the device has
/// them.
struct WorkgroupMatrixTuning {
  uint32_t from_tokens = 0;  ///< so many tokens and more take them; 0 is never
  uint32_t threads = 256;
  uint32_t tile_rows = 128;  ///< of gate and up together
  uint32_t tile_tokens = 128;
  uint32_t depth = 64;  ///< columns at a time
};

/// A matmul on cooperative matrices filled in registers (shaders/fragment_tokens.glsl), where the device's are known:
/// `teams` subgroups that take turns along the row (half as many of gate and up, whose sums are twice as many),
/// `strips` of a matrix's rows for each, `row_parts` such teams beside one another, `shares` workgroups that have a
/// part of the row each (not of gate and up), `ahead` 1 loads weights while others are multiplied, up to
/// `joined` tokens all loads of a group wait together, `pieces` of 16 bytes of tokens are loaded at once where a lane
/// loads more than a matrix's (where they wait together, or beyond 64 tokens), `matrix_tokens` is the most of one
/// matrix, `tile_tokens` of a subgroup. Beyond 64 tokens, of which more workgroups than one have some, `many_teams`
/// and, as far as it leaves enough of them, `many_strips`.
struct FragmentTuning {
  uint32_t from_tokens = 0;  ///< so many tokens and more take them, before any other path; 0 is never
  uint32_t to_tokens = 64;
  uint32_t teams = 8;
  uint32_t row_parts = 1;
  uint32_t strips = 1;
  uint32_t shares = 1;
  uint32_t ahead = 0;
  uint32_t joined = 0;
  uint32_t pieces = 8;
  uint32_t matrix_tokens = 16;
  uint32_t tile_tokens = 64;
  uint32_t many_teams = 4;
  uint32_t many_strips = 4;
};

/// How matmuls over many tokens are computed.
enum class ManyTokensPath : uint32_t {
  best,  ///< cooperative matrices where the device and the encoding allow, else dot products
  dot,   ///< packed dot products of bytes, float32 for plain encodings
};

/// The choices that a sweep varies; shaders take them as specialisation constants.
struct Tuning {
  uint32_t few_tokens_limit = 16;  ///< more tokens than this take a tiled matmul
  uint32_t many_tokens_path = 0;   ///< ManyTokensPath
  uint32_t batch_invariant = 0;    ///< 1 keeps every sum in one order, whatever the batch (keep_batch_invariant)
  FewTokensTuning linear = {.subgroups = 4, .rows = 4};
  FewTokensTuning short_linear = {.subgroups = 4, .rows = 2};  ///< few rows, such as projections
  FewTokensTuning logits = {.subgroups = 4, .rows = 4};
  FewTokensTuning gate_up = {.subgroups = 8, .rows = 4};
  uint32_t most_sums = 32;       ///< rows * tokens of all matrices that a lane holds in registers with few tokens
  uint32_t norm_threads = 1024;  ///< of a row, at most
  uint32_t short_rows = 16384;   ///< a Linear of fewer rows takes short_linear
  /// By the tokens of a step: up to 8, 16, 32, 64, and more. Up to 64 are one tile, as small as it can be.
  MatrixTuning matrix8 = {.teams = 2, .tile_rows = 32, .sub_rows = 16, .sub_tokens = 8, .depth = 4, .buffers = 1};
  MatrixTuning matrix16 = {.teams = 2, .tile_rows = 32, .sub_rows = 16, .sub_tokens = 16, .depth = 4, .buffers = 1};
  MatrixTuning matrix32 = {.teams = 2, .tile_rows = 64, .sub_rows = 32, .sub_tokens = 32, .depth = 4, .buffers = 1};
  MatrixTuning matrix64 = {.tile_rows = 64, .sub_rows = 32, .sub_tokens = 32};
  MatrixTuning matrix = {.tile_rows = 128, .tile_tokens = 64, .sub_rows = 32, .sub_tokens = 64};
  WorkgroupMatrixTuning workgroup_matrix;
  FragmentTuning fragments;
  /// Blocks decoded to f16, instead of as bytes: so many tokens and more, 0 is never; and their tiles for up to 64
  /// tokens, and for more.
  uint32_t decode_from_tokens = 0;
  MatrixTuning decoded_matrix64 = {
      .tile_rows = 64, .tile_tokens = 64, .sub_rows = 32, .sub_tokens = 32, .depth = 4, .buffers = 1};
  MatrixTuning decoded_matrix = {
      .tile_rows = 128, .tile_tokens = 128, .sub_rows = 64, .sub_tokens = 32, .depth = 4, .buffers = 1};

  // Attention of single tokens (attention_few.comp).
  uint32_t attention_subgroups = 8;      ///< of a workgroup
  uint32_t attention_rounds = 0;         ///< keys in flight for the lanes that share a key; 0 goes by the device
  uint32_t attention_heads = 0;          ///< most query heads of a workgroup; 0 likewise
  uint32_t attention_split_keys = 256;   ///< least stretch of a context for one workgroup
  uint32_t attention_workgroups = 0;     ///< that splitting aims at; 0 goes by the device's compute units
  uint32_t attention_separate_rope = 0;  ///< 1 keeps RopeAndStore a launch of its own
  // Attention over latent rows (latent_attention.comp).
  uint32_t latent_subgroups = 4;  ///< of a workgroup
  uint32_t latent_heads = 0;      ///< most heads of a workgroup, in fours; 0 goes by the device
  // Attention of tiles of tokens: by matrix units (attention_matrix.comp), else in float32 (attention_many.comp).
  uint32_t attention_path = 0;  ///< forces an AttentionPath; 0 leaves the choice
  /// Tokens of a step, of sequences that bring 2 to 8, which attend by themselves; more are cut into tiles. So many are
  /// quicker apart behind 1000 and 8000 tokens alike (H200, 8 and 16 KV heads of 128).
  uint32_t attention_apart = 32;
  uint32_t attention_matrix_subgroups = 4;  ///< at most
  uint32_t attention_matrix_keys = 32;      ///< in shared memory at once; a multiple of 32
  uint32_t attention_shared_queries = 0;    ///< 1 keeps queries in shared memory instead of registers
  uint32_t attention_transpose_values = 0;  ///< 1 turns values on their way into shared memory
  uint32_t attention_threads = 128;
  uint32_t attention_keys = 64;      ///< in flight in a workgroup
  uint32_t candidate_threads = 256;  ///< of a workgroup that looks for the best logits
  uint32_t candidate_values = 16;    ///< of its stretch of the vocabulary for each of them
  /// A step of more work than this (in 10^6 floating-point operations) is cut into several submits, so that none is
  /// taken for a hang; 0 chooses by the kind of device.
  uint32_t submit_mflop = 0;
};

/// The tile for so many tokens; of blocks, where `decoded`, as halves.
const MatrixTuning& matrix_tuning(const Tuning& tuning, uint32_t tokens, bool decoded = false);

/// What was measured to be best for a GPU of these properties, or a guess where nothing was (docs/performance.md).
Tuning tuning_for(const GpuProperties& gpu);

/// Where batch_invariant is set, sets what else decides the order of sums: few-token kernels for every count of tokens,
/// attention of each token by itself, behind a RopeAndStore of its own.
void keep_batch_invariant(Tuning& tuning);

/// Fields by their names, such as "gate_up.rows" (tuning_fields.h), and what they should be.
using TuningChanges = std::map<std::string, uint32_t, std::less<>>;

/// From "name=value,name=value", and back. Errors: invalid_argument (no number, or a name that no field has).
Result<TuningChanges> parse_changes(std::string_view text);
std::string text_of(const TuningChanges& changes);

/// Errors: invalid_argument for a name that no field has.
Result<void> change_tuning(const TuningChanges& changes, Tuning& tuning);

/// Whether one of them decides how matmuls run, or how anything else does.
bool changes_matmuls(const TuningChanges& changes);
bool changes_others(const TuningChanges& changes);

TuningChanges all_fields(const Tuning& tuning);

/// The first bucket that holds `count` tokens: each count to 8, even ones to 16, whole eights to 48, then powers of
/// two.
constexpr uint32_t bucket_of(uint32_t count) {
  if (count <= 8) return count;
  if (count <= 16) return divide_up(count, 2) * 2;
  if (count <= 48) return divide_up(count, 8) * 8;
  return std::bit_ceil(count);
}

}  // namespace hearth::vulkan
