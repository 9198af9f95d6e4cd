// What C++ and GLSL must agree on: one declaration of each. Included by both.
#ifdef __cplusplus
#pragma once
#include <cstdint>
namespace hearth::vulkan::shared {
using uint = uint32_t;
#define HEARTH_CONSTANT inline constexpr uint32_t
#define HEARTH_ADDRESS(type) uint64_t
#else
#define HEARTH_CONSTANT const uint
#define HEARTH_ADDRESS(type) type
#endif

// Encodings of weights as they lie on the device. A row of weights is cut into blocks of kBlockValues; a block's quants
// are one or more units of 16 bytes, and unit u of all blocks of a row lies together, so that neighbouring lanes that
// hold neighbouring blocks read neighbouring 16 bytes:
//   quants  [rows][units][blocks] of 16 bytes
//   extra   [rows][blocks] of 4 bytes (fifth bits), or of 8 bytes (two upper bits of q6_k)
//   scales  by encoding, below; rows in groups of four so that four rows' scales are one load of 8 bytes
// Rows are padded to a multiple of kRowPadding.
//
//   f32   8 units: unit u is values 4u .. 4u+3
//   f16, bf16  4 units: unit u is values 8u .. 8u+7; scales [rows] of f32: a power of two for each row that makes its
//         largest weight one between 2^14 and 2^15 (at most 2^15 for f16), for products of f16
//   q8_0  2 units: unit u is values 16u .. 16u+15; scales [rows/4][blocks][4] of f16
//   q4_0, q4_1, q5_0, q5_1, mxfp4, q4_k, q5_k, q6_k  1 unit: byte i holds value i in its low and value i+16 in its high
//   nibble q4_0  in two's complement, so that they are signed bytes when moved to the upper half of a byte q4_0, q5_0
//   scales as q8_0; q4_1, q5_1  scales as q8_0, then minimums likewise mxfp4  scales as q8_0, of bf16, for twice the
//   numbers that the nibbles are codes of q4_k, q5_k  scales [rows][blocks/8] of 16 bytes: GGUF's header (f16 scale,
//   f16 minimum, 12 bytes of part scales) q6_k  scales [rows][blocks/8] of 16 bytes of signed part scales, then
//   [rows][blocks/8] of f32 (GGUF's f16, widened)
// Fifth bits: bit (8 i + m) belongs to byte i of word m, where words 0-3 are the low and 4-7 the high nibbles of the
// four 32-bit words. Upper bits of q6_k: bits 8 i + 2 (m % 4) of word m / 4 likewise.
HEARTH_CONSTANT kEncodingF32 = 0;
HEARTH_CONSTANT kEncodingF16 = 1;
HEARTH_CONSTANT kEncodingBf16 = 2;
HEARTH_CONSTANT kEncodingQ8_0 = 3;
HEARTH_CONSTANT kEncodingQ4_0 = 4;
HEARTH_CONSTANT kEncodingQ4_1 = 5;
HEARTH_CONSTANT kEncodingQ5_0 = 6;
HEARTH_CONSTANT kEncodingQ5_1 = 7;
HEARTH_CONSTANT kEncodingMxfp4 = 8;  // of experts alone
HEARTH_CONSTANT kEncodingQ4_K = 9;
HEARTH_CONSTANT kEncodingQ5_K = 10;
HEARTH_CONSTANT kEncodingQ6_K = 11;

HEARTH_CONSTANT kBlockValues = 32;
HEARTH_CONSTANT kRowPadding = 16;

/// Tokens of one KV block (device/step.h).
HEARTH_CONSTANT kCacheBlockTokens = 16;

/// Rope tables: entry [position / kRopeSpan] of the coarse table turns by its first position, entry
/// [position % kRopeSpan] of the fine one, which lies behind kRopeCoarse entries of the coarse one, by the rest.
HEARTH_CONSTANT kRopeSpan = 256;
HEARTH_CONSTANT kRopeCoarse = 4096;

// Flags of linear_*.comp's epilogue.
HEARTH_CONSTANT kFlagBias = 1;
HEARTH_CONSTANT kFlagSoftcap = 2;

// Activations of gate_up_*.comp: one of these, and the flag where gate and up have biases.
HEARTH_CONSTANT kActivationSilu = 0;
HEARTH_CONSTANT kActivationGeluTanh = 1;
HEARTH_CONSTANT kActivationGelu = 2;
HEARTH_CONSTANT kActivationRelu = 3;
HEARTH_CONSTANT kActivationReluSquared = 4;
HEARTH_CONSTANT kActivationXielu = 5;
HEARTH_CONSTANT kActivationSigmoid = 6;
HEARTH_CONSTANT kActivationQuickGelu = 7;
HEARTH_CONSTANT kActivationBias = 16;

/// Most candidates of a row of logits (device/step.h).
HEARTH_CONSTANT kMostCandidates = 64;

/// The head of a step's input.
struct StepHeader {
  uint tokens;
  uint logit_rows;
  uint singles;  ///< attention tiles of one token, at the start of the list of tiles
  uint tiles;    ///< those of up to as many tokens as the step's path takes, behind the singles
};

/// Consecutive tokens of one sequence that attend together, for one cache group.
struct AttentionTile {
  uint first_row;
  uint token_count;
  uint first_position;
  uint table;  ///< index of the sequence's first block number in the block tables
};

/// A sequence's tokens in a step, and the blocks of its state before and after them, for one cache group of states.
struct StateRun {
  uint first_row;
  uint token_count;
  int from;  ///< -1: the state is all zeros
  int to;
};

#ifndef __cplusplus
layout(buffer_reference, std430, buffer_reference_align = 16) readonly buffer StepRef { StepHeader header; };
layout(buffer_reference, std430, buffer_reference_align = 16) readonly buffer TilesRef { AttentionTile tile[]; };
layout(buffer_reference, std430, buffer_reference_align = 16) readonly buffer RunsRef { StateRun run[]; };
layout(buffer_reference, std430, buffer_reference_align = 4) readonly buffer IntsIn { int v[]; };
layout(buffer_reference, std430, buffer_reference_align = 4) readonly buffer UintsIn { uint v[]; };
layout(buffer_reference, std430, buffer_reference_align = 8) readonly buffer Uvec2sIn { uvec2 v[]; };
layout(buffer_reference, std430, buffer_reference_align = 16) readonly buffer Uvec4sIn { uvec4 v[]; };
layout(buffer_reference, std430, buffer_reference_align = 4) readonly buffer FloatsIn { float v[]; };
layout(buffer_reference, std430, buffer_reference_align = 8) readonly buffer Vec2sIn { vec2 v[]; };
layout(buffer_reference, std430, buffer_reference_align = 16) readonly buffer Vec4sIn { vec4 v[]; };
layout(buffer_reference, std430, buffer_reference_align = 4) buffer Floats { float v[]; };
layout(buffer_reference, std430, buffer_reference_align = 4) buffer Uints { uint v[]; };
layout(buffer_reference, std430, buffer_reference_align = 8) buffer Vec2s { vec2 v[]; };
layout(buffer_reference, std430, buffer_reference_align = 16) buffer Vec4s { vec4 v[]; };
layout(buffer_reference, std430, buffer_reference_align = 16) buffer Uvec4s { uvec4 v[]; };
// Written by some workgroups of a launch and read by another (last_workgroup.glsl): `nonprivate` has barriers between
// them order the accesses. It stands on members, as glslang drops what stands on a block behind a reference.
layout(buffer_reference, std430, buffer_reference_align = 4) buffer Partials { nonprivate float v[]; };
layout(buffer_reference, std430, buffer_reference_align = 16) buffer PartialQuads { nonprivate vec4 v[]; };
layout(buffer_reference, std430, buffer_reference_align = 4) buffer Counters { nonprivate uint v[]; };
layout(buffer_reference, std430, buffer_reference_align = 8) buffer Candidates { nonprivate uvec2 v[]; };
layout(buffer_reference, std430, buffer_reference_align = 8) buffer Uvec2s { uvec2 v[]; };
#endif

/// One run of rows of a weight matrix in one encoding.
struct WeightRef {
  HEARTH_ADDRESS(Uvec4sIn) quants;
  HEARTH_ADDRESS(UintsIn) extra;
  HEARTH_ADDRESS(UintsIn) scales;
};

// An activation tensor in blocks of 32 as signed bytes: quants [rows][width] and pairs [rows][width/32] of (scale,
// scale * sum of the block's bytes), so that an encoding's constant part costs one multiplication a block.

// As sums of two halves: [rows][upper, lower][width] of f16, each row in units and blocks as weights in f16 are, and
// [rows] of f32, powers of two that results are to be multiplied with.

// As halves made from bytes: [rows][width] of f16, of each four values in a row first, third, second, fourth; and
// [rows] of such powers.

struct EmbedArguments {
  WeightRef table;
  HEARTH_ADDRESS(StepRef) step;
  HEARTH_ADDRESS(IntsIn) token_ids;
  HEARTH_ADDRESS(IntsIn) best;  ///< [logit rows] of the step before: a negative token id -1 - r stands for best[r]
  HEARTH_ADDRESS(Vec4s) result;
  uint first_row;  ///< of the table, and how many this run of rows has
  uint rows;
  uint width;
  float scale;
};

struct AddNormArguments {
  HEARTH_ADDRESS(StepRef) step;
  HEARTH_ADDRESS(Vec4s) residual;
  HEARTH_ADDRESS(Vec4sIn) branch;
  HEARTH_ADDRESS(Vec4sIn) post_norm;
  HEARTH_ADDRESS(Vec4sIn) norm;
  HEARTH_ADDRESS(Vec4sIn) norm_bias;
  HEARTH_ADDRESS(Vec4s) result;
  HEARTH_ADDRESS(Uints) result_quants;
  HEARTH_ADDRESS(Vec2s) result_pairs;
  HEARTH_ADDRESS(Uvec2s) fragments;  ///< the result as halves in the order of lanes, where FRAGMENT_N is not 0
  HEARTH_ADDRESS(Floats) scales;     ///< of these
  HEARTH_ADDRESS(Uints) largest;     ///< made 0 for gate and up, which may come next
  uint width;
  float branch_scale;
  float epsilon;
  float residual_scale;
  uint parts;   ///< of such a width in a row of the tensors
  float power;  ///< of two, for every row
};

struct QuantizeArguments {
  HEARTH_ADDRESS(StepRef) step;
  HEARTH_ADDRESS(Vec4sIn) source;
  HEARTH_ADDRESS(Uints) quants;
  HEARTH_ADDRESS(Vec2s) pairs;
  HEARTH_ADDRESS(Uvec2s) fragments;  ///< halves in the order of lanes, where FRAGMENT_N is not 0
  HEARTH_ADDRESS(Floats) scales;     ///< of these
  HEARTH_ADDRESS(UintsIn) largest;   ///< bits of each row's largest value
  uint width;
};

struct PadRowsArguments {
  HEARTH_ADDRESS(StepRef) step;
  HEARTH_ADDRESS(FloatsIn) source;
  HEARTH_ADDRESS(Floats) result;
  uint width;
  uint padded_width;
};

struct SplitFloatsArguments {
  HEARTH_ADDRESS(StepRef) step;
  HEARTH_ADDRESS(Vec4sIn) source;
  HEARTH_ADDRESS(Uvec4s) halves;
  HEARTH_ADDRESS(Floats) scales;
  uint width;
};

struct HalveBytesArguments {
  HEARTH_ADDRESS(StepRef) step;
  HEARTH_ADDRESS(Uvec2sIn) quants;
  HEARTH_ADDRESS(Vec2sIn) pairs;
  HEARTH_ADDRESS(Uvec4s) halves;
  HEARTH_ADDRESS(Floats) scales;
  uint width;
};

/// Most lanes of a subgroup, and elements of a lane and of a matrix, whose places are learned (fragment_layout.h).
HEARTH_CONSTANT kMostFragmentLanes = 64;
HEARTH_CONSTANT kMostFragmentComponents = 32;
HEARTH_CONSTANT kMostFragmentElements = 256;
/// Words from one row's largest value to the next's: workgroups that meet in a row's word do not wait for those in
/// others.
HEARTH_CONSTANT kLargestStride = 32;
/// Pieces of eight halves that a thread of make_fragments.comp makes.
HEARTH_CONSTANT kFragmentPieces = 2;

/// Places of the elements of A [lanes][components], then of B, then how many components a lane has of either, then 1
/// where subnormal halves are kept.
struct LearnFragmentsArguments {
  HEARTH_ADDRESS(Uints) result;
};

/// out[t][first_row + r] = in[t] . weight[r], then the epilogue.
struct LinearArguments {
  WeightRef weight;
  HEARTH_ADDRESS(StepRef) step;
  HEARTH_ADDRESS(Uvec4sIn) x;       ///< float32 rows, quants or halves
  HEARTH_ADDRESS(Vec2sIn) x_pairs;  ///< of quants; of halves the powers of two
  HEARTH_ADDRESS(FloatsIn) bias;
  HEARTH_ADDRESS(Floats) result;
  uint rows;
  uint blocks;     ///< of a row of weights
  uint first_row;  ///< in the whole output
  uint out_width;
  float scale;
  float softcap;
  float unit;                         ///< of sums over matrices filled in registers (fragment_tokens.glsl)
  HEARTH_ADDRESS(Partials) partials;  ///< of such rows that several workgroups share
  HEARTH_ADDRESS(Counters) counters;  ///< likewise, 0 between launches
};

/// out[t][r] = activation(in[t] . gate[r] + bias[r]) * (in[t] . up[r] + bias[rows + r])
struct GateUpArguments {
  WeightRef gate;
  WeightRef up;
  HEARTH_ADDRESS(StepRef) step;
  HEARTH_ADDRESS(Uvec4sIn) x;
  HEARTH_ADDRESS(Vec2sIn) x_pairs;
  HEARTH_ADDRESS(Floats) result;
  HEARTH_ADDRESS(Uints) result_quants;
  HEARTH_ADDRESS(Vec2s) result_pairs;
  HEARTH_ADDRESS(FloatsIn) bias;
  HEARTH_ADDRESS(Uints) largest;  ///< of each token's results the bits of the largest, 0 before
  uint rows;
  uint blocks;
  float gate_unit;  ///< as LinearArguments::unit
  float up_unit;
};

struct RopeAndStoreArguments {
  HEARTH_ADDRESS(StepRef) step;
  HEARTH_ADDRESS(FloatsIn) qkv;
  HEARTH_ADDRESS(UintsIn) positions;
  HEARTH_ADDRESS(UintsIn) slots;
  HEARTH_ADDRESS(FloatsIn) q_norm;
  HEARTH_ADDRESS(FloatsIn) k_norm;
  HEARTH_ADDRESS(Vec2sIn) rope;
  HEARTH_ADDRESS(Uints) cache;
  HEARTH_ADDRESS(Floats) query;
  uint heads;
  uint kv_heads;
  uint pairs;  ///< turned pairs of a head; 0 without rope
  float epsilon;
  float query_growth;
  uint query_growth_positions;
  uint query_growth_shift;
};

/// Added to AttentionArguments::window.
HEARTH_CONSTANT kWindowIsChunk = 0x80000000;

/// Places inside a buffer are counted from its address in the units of what lies there, so that the arguments stay
/// small.
struct AttentionArguments {
  HEARTH_ADDRESS(StepRef) step;
  HEARTH_ADDRESS(FloatsIn) query;  ///< where RopeAndStore is fused in, the rows of Q, K and V
  HEARTH_ADDRESS(Uvec4sIn) cache;
  HEARTH_ADDRESS(FloatsIn) sinks;
  HEARTH_ADDRESS(Partials) partials;
  HEARTH_ADDRESS(Floats) result;
  HEARTH_ADDRESS(FloatsIn) q_norm;  ///< this and what is about rope: fused only
  HEARTH_ADDRESS(FloatsIn) k_norm;
  HEARTH_ADDRESS(Vec2sIn) rope;
  uint tiles;          ///< AttentionTiles from `step`
  uint tables;         ///< ints from `step`
  uint counters;       ///< uints from `partials`
  uint result_quants;  ///< uints from `result`
  uint result_pairs;   ///< vec2s from `result`
  uint kv_heads;
  float scale;
  float softcap;
  uint window;  ///< with kWindowIsChunk of chunks
  uint splits;  ///< most parts of a context
  uint pairs;   ///< that rope turns
  float epsilon;
  uint fragments;        ///< uvec2s from `result`: it as halves in the order of lanes, where FRAGMENT_N is not 0
  uint fragment_scales;  ///< floats from `result`
};

/// result = activation(source), value by value.
struct ActivateArguments {
  HEARTH_ADDRESS(StepRef) step;
  HEARTH_ADDRESS(FloatsIn) source;
  HEARTH_ADDRESS(Floats) result;
  uint width;
  float xielu_positive;  ///< and what follows of Xielu
  float xielu_negative;
  float xielu_linear;
  float xielu_bound;
};

struct SelectRowsArguments {
  HEARTH_ADDRESS(StepRef) step;
  HEARTH_ADDRESS(UintsIn) rows;
  HEARTH_ADDRESS(FloatsIn) source;
  HEARTH_ADDRESS(Floats) result;
  uint width;
};

/// The first wanted[row] candidates of each row; result [logit rows][kMostCandidates] of (token, logit).
struct BestLogitsArguments {
  HEARTH_ADDRESS(StepRef) step;
  HEARTH_ADDRESS(UintsIn) wanted;
  HEARTH_ADDRESS(UintsIn) logits;       ///< their bits
  HEARTH_ADDRESS(Candidates) partials;  ///< [logit rows][stretches][kMostCandidates] of (key, token)
  HEARTH_ADDRESS(Counters) counters;    ///< [logit rows], 0 between uses
  HEARTH_ADDRESS(Uvec2s) result;
  HEARTH_ADDRESS(Uints) best;  ///< [logit rows] the first candidates again, for the next step
  uint vocabulary;
};

/// Loads of 16 bytes of each lane, and places that the sums go to.
HEARTH_CONSTANT kBandwidthLoads = 16;
HEARTH_CONSTANT kBandwidthSums = 1024;
struct ReadBandwidthArguments {
  HEARTH_ADDRESS(Uvec4sIn) source;
  HEARTH_ADDRESS(Uints) sums;
};

#ifdef __cplusplus
}  // namespace hearth::vulkan::shared
#endif
