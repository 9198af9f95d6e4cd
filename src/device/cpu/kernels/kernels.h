#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "device/cpu/activation_panel.h"
#include "device/cpu/tile.h"
#include "device/operation.h"

namespace hearth::cpu {

/// Products of one tile with consecutive tokens of one panel: out[t * out_stride + row], 16 rows, all columns.
/// A row's sum has one fixed order, whatever the number of tokens.
using TileKernel = void (*)(const std::byte* tile, size_t groups, const PanelView& panel, float* out,
                            size_t out_stride);

/// Where one token's blocks of an integer panel begin, and how many bytes they are apart.
struct Int8Row {
  int8_t* values = nullptr;
  BlockFactors* factors = nullptr;
  size_t stride_bytes = 0;
};

/// One token's place in the panels of a tensor; null where such panels are not wanted. In fine panels what is left over
/// follows directly: values + 32, factors + 1.
struct PanelRow {
  Int8Row int8;
  Int8Row fine;
  float* float_values = nullptr;
  size_t float_stride = 0;
};

/// Rotary embedding of one token: the cosines and sines [pairs].
struct Rotation {
  const float* cosines;
  const float* sines;
  size_t pairs;
  bool interleaved;
};

/// Positions of one split of the context: blocks of K [head_dim][16] and V [16][head_dim] in f16, or of latent rows
/// [16][head_dim], which are K, and whose first value_dim values are V.
inline constexpr unsigned kSplitTokens = 256;
inline constexpr unsigned kSplitBlocks = kSplitTokens / 16;

/// Query rows (tokens x heads that share a KV head) attended at once.
inline constexpr unsigned kQueryRows = 8;

/// What attending one split needs. Only blocks with a position that some row sees are read.
struct SplitInput {
  const float* queries;  ///< [head_dim][kQueryRows]; over latent rows [rows][head_dim]
  unsigned rows;         ///< used, 1 to kQueryRows
  unsigned head_dim;
  unsigned value_dim;
  unsigned value_stride;              ///< from one position's V to the next one's
  const uint16_t* const* key_blocks;  ///< [kSplitBlocks]
  const uint16_t* const* value_blocks;
  const unsigned* first_visible;  ///< [rows] of the split's positions, those in [first_visible, end_visible)
  const unsigned* end_visible;
  float scale;
  float softcap;
};

/// Unnormalised attention of some rows over the splits so far: the sum of exp(score - highest) and of that times V.
struct SplitOutput {
  float* highest;  ///< [rows]
  float* sum;      ///< [rows]; 0 where nothing was visible
  float* mixed;    ///< [rows][value_dim]
};

/// Rows that a causal convolution may see.
inline constexpr size_t kMostConvolutionRows = 16;

/// One row of a causal convolution: the rows that it sees, the oldest first, and what each is multiplied with where it
/// is not null.
struct ConvolutionInput {
  const float* const* rows;   ///< [kernel]
  const float* const* gates;  ///< [kernel]
  unsigned kernel;
  const float* weight;  ///< [kernel][channels]
  const float* bias;    ///< null where there is none
  bool silu;
  const float* after;  ///< what the result is multiplied with, or null
};

/// One token for one head of LinearAttention (device/recurrent_operations.h). The state [key_dim][value_dim] is
/// changed.
struct StateInput {
  float* state;
  const float* q;
  const float* k;
  const float* v;
  size_t key_dim, value_dim;
  bool delta;      ///< the delta rule
  float decay;     ///< g
  float strength;  ///< of what is added: sigmoid(b), or the step
  float skip;
};

/// The code of one instruction set. All functions may be called from any thread.
struct Kernels {
  const char* name;

  /// [encoding][tokens]: null for counts that have no kernel of their own; 1 always has.
  std::array<std::array<TileKernel, kPanelTokens + 1>, kTileEncodingCount> tiles;

  /// out[i] = activation(gate[i]) * up[i].
  void (*activate)(Activation activation, const float* gate, const float* up, float* out, size_t count);
  /// out[i] = activation(x[i]); out may be x.
  void (*activate_alone)(Activation activation, const Xielu& xielu, const float* x, float* out, size_t count);
  /// Fills one token's panels from `count` values beginning at block `first_block`; count is a multiple of 32 for int8,
  /// and a last partial block is padded with zeros for floats.
  void (*fill_panels)(const float* values, size_t count, const PanelRow& row, size_t first_block);
  /// out = x / sqrt(mean(x^2) + epsilon) * weight; out may be x.
  void (*rms_norm)(const float* x, const float* weight, float epsilon, size_t count, float* out);
  /// out = (x - mean(x)) / sqrt(variance(x) + epsilon) * weight + bias, which may be null; out may be x.
  void (*layer_norm)(const float* x, const float* weight, const float* bias, float epsilon, size_t count, float* out);
  /// residual += factor * branch.
  void (*add_scaled)(float* residual, const float* branch, float factor, size_t count);
  /// x = softcap * tanh(x * scale / softcap), or x * scale when softcap is 0.
  void (*scale_and_cap)(float* x, size_t count, float scale, float softcap);
  /// Turns `count` = head_dim values in place.
  void (*rotate)(float* head, const Rotation& rotation);
  /// Narrows to f16, saturating; element i goes to out[i * stride].
  void (*narrow)(const float* values, size_t count, uint16_t* out, size_t stride);

  /// One row of `count` channels (CausalConvolution).
  void (*convolve)(const ConvolutionInput& input, size_t count, float* out);
  /// out [value_dim] = q.S + skip * v behind the change.
  void (*update_state)(const StateInput& input, float* out);

  void (*attend_split)(const SplitInput& input, const SplitOutput& output, float* scratch);
  /// The same over latent rows.
  void (*attend_latent_split)(const SplitInput& input, const SplitOutput& output, float* scratch);
  /// Adds `part` to `total`, both [rows] of one value_dim; order matters, splits come in ascending order.
  void (*merge_split)(const SplitOutput& total, const SplitOutput& part, unsigned rows, unsigned value_dim);
  /// out = row `row` of `total` divided by its sum, to which exp(*sink) belongs too where there is a sink.
  void (*finish_row)(const SplitOutput& total, unsigned row, unsigned value_dim, const float* sink, float* out);
};

/// Floats of scratch that attend_split needs.
inline constexpr size_t kAttendScratch = size_t{kQueryRows} * kSplitTokens;

const Kernels& generic_kernels();
#if defined(__x86_64__)
const Kernels& avx2_kernels();
const Kernels& avxvnni_kernels();
const Kernels& avx512_kernels();
const Kernels& avx512vnni_kernels();
#endif

}  // namespace hearth::cpu
