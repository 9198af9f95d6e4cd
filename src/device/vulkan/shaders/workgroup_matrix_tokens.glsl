// Matrix times many vectors by cooperative matrices of f16 that a whole workgroup holds (GL_NV_cooperative_matrix2). A
// workgroup computes TILE_ROWS rows of weights by TILE_TOKENS tokens, DEPTH columns at a time; where the tile's values lie,
// and how they come there, is the driver's choice. Products are exact and add up in float32. What is rounded to f16:
//   blocks      weights as they are decoded, and activations, whose bytes and scales are joined (halve_bytes.comp): 2^-11
//   f16, bf16   nothing; activations are sums of two halves (split_floats.comp), so that 22 bits of them count
// Results lack the powers of two that keep values within f16's range: see undo_powers.
//
// Before this file: weights.glsl, `WeightMatrix matrix(uint i)` and rows_of_weights().

#extension GL_KHR_cooperative_matrix : require
#extension GL_NV_cooperative_matrix2 : require
#extension GL_EXT_shader_explicit_arithmetic_types_float16 : require
#extension GL_EXT_shader_16bit_storage : require

#include "halves.glsl"
#include "weight_value.glsl"

layout(buffer_reference, std430, buffer_reference_align = 16) readonly buffer HalvesIn { float16_t v[]; };

#define Weights coopmat<float16_t, gl_ScopeWorkgroup, TILE_ROWS, DEPTH, gl_MatrixUseA>
#define Vectors coopmat<float16_t, gl_ScopeWorkgroup, DEPTH, TILE_TOKENS, gl_MatrixUseB>
#define Sums coopmat<float, gl_ScopeWorkgroup, TILE_ROWS, TILE_TOKENS, gl_MatrixUseAccumulator>
#define Clamped tensorLayoutNV<2, gl_CooperativeMatrixClampModeConstantNV>
#define Unclamped tensorLayoutNV<2, gl_CooperativeMatrixClampModeUndefinedNV>

/// Columns that one call of `decode` knows the place of.
const uint DECODE_BLOCK = ENCODING == kEncodingBf16 ? 2 : 32;
const uint HALVES = IS_PLAIN ? 2 : 1;

/// Rows of x, and of their powers, are there for whole tiles: those behind the last hold anything.
struct MatrixInput {
  HalvesIn x;
  uint first_token;
  uint columns;
};

float16_t decode(WeightMatrix m, uint row, uint block, uint at) {
  if (ENCODING == kEncodingBf16) {
    const uint word = UintsIn(m.at.quants).v[row * m.blocks * 16 + block];
    return float16_t(uintBitsToFloat(at == 0 ? word << 16 : word & 0xffff0000u) * FloatsIn(m.at.scales).v[row]);
  }
  const uint stored = (at & ~3u) | (at & 1) << 1 | (at >> 1 & 1);  // activations lie as halve_bytes.comp leaves them
  return float16_t(block_value(m, row, block, stored) * DECODED_POWER);
}

// What a decoding load asks for: the block's coordinates, and the value's within it. The planes are addressed from the
// former, as a block's parts do not lie together.
layout(buffer_reference, std430, buffer_reference_align = 4) readonly buffer Unused { uint v; };
float16_t decode_first(const in Unused unused, const in uint at[2], const in uint within[2]) {
  return decode(matrix(0), at[0], at[1], within[1]);
}
float16_t decode_second(const in Unused unused, const in uint at[2], const in uint within[2]) {
  return decode(matrix(1), at[0], at[1], within[1]);
}

#define LOAD_WEIGHTS(Layout, clamp_mode)                                                         \
  Layout rows = createTensorLayoutNV(2, clamp_mode);                                             \
  rows = setTensorLayoutDimensionNV(rows, rows_of_weights(), columns);                           \
  if (ENCODING == kEncodingF16) {                                                                \
    rows = sliceTensorLayoutNV(rows, first_row, TILE_ROWS, column, DEPTH);                       \
    coopMatLoadTensorNV(weights, HalvesIn(matrix(i).at.quants).v, 0, rows);                      \
  } else {                                                                                       \
    rows = setTensorLayoutBlockSizeNV(rows, 1, DECODE_BLOCK);                                    \
    rows = sliceTensorLayoutNV(rows, first_row, TILE_ROWS, column, DEPTH);                       \
    if (i == 0) {                                                                                \
      coopMatLoadTensorNV(weights, UintsIn(matrix(0).at.quants).v, 0, rows, decode_first);       \
    } else {                                                                                     \
      coopMatLoadTensorNV(weights, UintsIn(matrix(1).at.quants).v, 0, rows, decode_second);      \
    }                                                                                            \
  }

void load_weights(uint i, uint first_row, uint columns, uint column, out Weights weights) {
  if (WHOLE_ROWS) {
    LOAD_WEIGHTS(Unclamped, gl_CooperativeMatrixClampModeUndefinedNV)
  } else {
    LOAD_WEIGHTS(Clamped, gl_CooperativeMatrixClampModeConstantNV)
  }
}

void load_tokens(MatrixInput x, uint half_of, uint column, out Vectors vectors) {
  const tensorViewNV<2, false, 1, 0> turned = createTensorViewNV(2, false, 1, 0);
  Unclamped rows = createTensorLayoutNV(2, gl_CooperativeMatrixClampModeUndefinedNV);
  rows = setTensorLayoutDimensionNV(rows, x.first_token + TILE_TOKENS, HALVES * x.columns);
  rows = sliceTensorLayoutNV(rows, x.first_token, TILE_TOKENS, half_of * x.columns + column, DEPTH);
  coopMatLoadTensorNV(vectors, x.x.v, 0, rows, turned);
}

void multiply_tile(uint first_row, MatrixInput x, out Sums sums[MATRICES]) {
  [[unroll]] for (uint i = 0; i < MATRICES; ++i) sums[i] = Sums(0);
  [[dont_unroll]] for (uint column = 0; column < x.columns; column += DEPTH) {
    Weights weights[MATRICES];
    [[unroll]] for (uint i = 0; i < MATRICES; ++i) load_weights(i, first_row, x.columns, column, weights[i]);
    [[unroll]] for (uint half_of = 0; half_of < HALVES; ++half_of) {
      Vectors vectors;
      load_tokens(x, half_of, column, vectors);
      [[unroll]] for (uint i = 0; i < MATRICES; ++i) sums[i] = coopMatMulAdd(weights[i], vectors, sums[i]);
    }
  }
}

/// A sum without the powers of two that weights and activations were multiplied with.
float undo_powers(float sum, uint i, uint row, float token_scale) {
  if (ENCODING == kEncodingBf16) sum *= inverse_of_power(FloatsIn(matrix(i).at.scales).v[row]);
  return sum * (IS_PLAIN ? token_scale : token_scale / DECODED_POWER);
}

/// Stores [rows of the tile][tokens] to rows of `width` values.
void store_tile(Sums values, Floats result, uint first_value, uint width, uint first_row, uint first_token, uint tokens) {
  const tensorViewNV<2, false, 1, 0> turned = createTensorViewNV(2, false, 1, 0);
  Clamped rows = createTensorLayoutNV(2, gl_CooperativeMatrixClampModeConstantNV);
  rows = setTensorLayoutDimensionNV(rows, tokens, rows_of_weights());
  rows = setTensorLayoutStrideNV(rows, width, 1);
  rows = sliceTensorLayoutNV(rows, first_token, TILE_TOKENS, first_row, TILE_ROWS);
  coopMatStoreTensorNV(values, result.v, first_value, rows, turned);
}
