#pragma once

#include <cstdint>
#include <optional>

#include "base/result.h"
#include "device/device.h"
#include "device/vulkan/gpu/gpu.h"
#include "device/vulkan/paths/tuning.h"

namespace hearth::vulkan {

/// What a step's sequences bring.
enum class Mix : uint8_t {
  single_tokens,  ///< one token each
  prompts,        ///< several tokens each; where path is `few`, anything else too
  both,
};

/// How the tokens of sequences with several of them attend.
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

  Mix mix(const StepInput& input, uint32_t bucket_tokens) const;

  /// Most tiles of a single token, and of several.
  uint32_t single_tiles(uint32_t bucket_tokens, Mix mix) const;
  uint32_t token_tiles(uint32_t bucket_tokens) const;

  /// Whether RopeAndStore and Attention are one launch.
  bool fuses(Mix mix) const { return fusable_ && mix == Mix::single_tokens; }

  FewAttention few(const Attention& op, uint32_t single_tiles) const;
  MatrixAttention matrices(const Attention& op) const { return *matrix_attention(op); }

 private:
  AttentionPlan(const GpuProperties& gpu, const Tuning& tuning) : gpu_(gpu), tuning_(tuning) {}
  std::optional<MatrixAttention> matrix_attention(const Attention& op) const;
  uint32_t few_subgroups(const Attention& op, uint32_t heads) const;

  GpuProperties gpu_;
  Tuning tuning_;
  uint32_t sequences_ = 0;
  uint32_t plain_tile_tokens_ = 1;
  uint32_t matrix_tile_tokens_ = 0;  // 0 where matrices can't be used
  bool fusable_ = false;
};

}  // namespace hearth::vulkan
