#pragma once

#include <cstdint>
#include <optional>

#include "base/result.h"
#include "device/device.h"
#include "device/vulkan/gpu/gpu.h"
#include "device/vulkan/paths/tuning.h"

namespace hearth::vulkan {

/// How many tokens a step's sequences bring, which is all that matters of what they are there for.
enum class Mix : uint8_t {
  single_tokens,  ///< one each
  apart,          ///< few each, or many where path is `few`: each token attends by itself
  prompts,        ///< many each
  both,           ///< many in some, and tokens that attend by themselves
};

/// How the tokens of sequences with many of them attend.
enum class AttentionPath : uint8_t {
  few = 1,       ///< each token by itself, as single tokens do (attention_few.comp)
  tiles = 2,     ///< tiles of tokens in float32 (attention_many.comp)
  matrices = 3,  ///< tiles of tokens by cooperative matrices (attention_matrix.comp)
};

/// The constants of attention_few.comp and its grid.
struct FewAttention {
  uint32_t heads = 1;      ///< query heads of a workgroup
  uint32_t parts = 1;      ///< workgroups that share a KV head's query heads
  uint32_t key_lanes = 1;  ///< lanes that share a key
  uint32_t rounds = 1;     ///< keys in flight for them
  uint32_t subgroups = 1;
  uint32_t split_keys = 1;  ///< a stretch of the context is a multiple of it
  uint32_t splits = 1;      ///< most stretches

  uint64_t part_floats(uint32_t head_dim) const { return uint64_t{heads} * head_dim + 4 * ((heads + 1) / 2); }
};

/// The constants of latent_attention.comp and its grid.
struct LatentCut {
  static constexpr uint32_t kGroupHeads = 4;

  uint32_t groups = 1;  ///< of so many heads, of a workgroup; a power of two
  uint32_t parts = 1;   ///< workgroups that share a token's heads
  uint32_t subgroups = 1;
  uint32_t rows_at_once = 1;  ///< whose values are in registers together
  uint32_t split_rows = 1;    ///< a stretch of the context is a multiple of it
  uint32_t splits = 1;        ///< most stretches

  uint32_t heads() const { return groups * kGroupHeads; }
  uint64_t part_floats(uint32_t value_dim) const { return uint64_t{heads()} * (value_dim + 2); }
};

/// The constants of attention_matrix.comp.
struct MatrixAttention {
  uint32_t rows = 0, columns = 0, depth = 0;  ///< of the device's matrices
  uint32_t subgroups = 0;
  uint32_t keys = 0;
  bool queries_in_registers = true;
  bool take_turns = false;
};

/// How a recording's attention is cut for the shaders: pure arithmetic, made once for a program.
class AttentionPlan {
 public:
  /// Errors: unsupported (matrices are forced where the device or a layer's shape does not allow them).
  static Result<AttentionPlan> make(const GpuProperties& gpu, const Tuning& tuning, const Recording& recording,
                                    const ProgramLimits& limits);

  AttentionPath path(uint32_t bucket_tokens) const;

  /// Most tokens of a tile, the same for all layers.
  uint32_t tile_tokens(uint32_t bucket_tokens) const;

  /// Sequences with at most so many tokens have each of them attend by itself: a tile of theirs would leave the whole
  /// context to one workgroup for each KV head.
  uint32_t tokens_apart(const StepInput& input, uint32_t bucket_tokens) const;

  Mix mix(const StepInput& input, uint32_t bucket_tokens) const;

  /// Most tiles of a single token, and of several.
  uint32_t single_tiles(uint32_t bucket_tokens, Mix mix) const;
  uint32_t token_tiles(uint32_t bucket_tokens) const;

  /// Whether RopeAndStore and Attention are one launch.
  bool fuses(Mix mix) const { return fusable_ && mix == Mix::single_tokens; }

  FewAttention few(const Attention& op, uint32_t single_tiles) const;
  LatentCut latents(const LatentAttention& op, uint32_t single_tiles) const;
  MatrixAttention matrices(const Attention& op) const { return *matrix_attention(op); }

 private:
  AttentionPlan(const GpuProperties& gpu, const Tuning& tuning) : gpu_(gpu), tuning_(tuning) {}
  std::optional<MatrixAttention> matrix_attention(const Attention& op) const;
  uint32_t workgroups_wanted() const;
  uint32_t few_subgroups(const Attention& op, uint32_t heads) const;
  uint32_t units() const;
  bool is_crowd(uint32_t workgroups) const;

  GpuProperties gpu_;
  Tuning tuning_;
  uint32_t sequences_ = 0;
  uint32_t plain_tile_tokens_ = 1;
  uint32_t matrix_tile_tokens_ = 0;  // 0 where matrices can't be used
  bool fusable_ = false;
};

}  // namespace hearth::vulkan
