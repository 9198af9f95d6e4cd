// Matrix times up to some tens of tokens on cooperative matrices of f16 whose elements' places are known (fragment_layout.glsl).
// No weight passes through shared memory: a lane loads whole blocks of its own rows, as they lie there for all kernels, decodes
// them in registers and puts the values straight into its components of matrices.
//
// That works because columns may come in any order as long as tokens come in the same: a matrix has CLASSES lanes, or groups of
// them, side by side in a row, and where the hardware says "columns 2 and 3, 10 and 11" each class takes the next values of a
// block of its own instead. So CLASSES neighbouring blocks of a row are one group, TILES_OF_GROUP matrices one after another;
// make_fragments.comp has put the tokens into that order.
//
// What a lane does for a weight decides the time, and when it waits. Numbers are never converted: in the last bits of a half they
// are subnormal, and one fused multiplication and addition makes the value of them. Pieces of tokens are loaded by addresses that
// differ by constants, as many together as PIECES_AT_ONCE says. Compilers put loads right before what needs them, so that one wait
// follows another; JOINED has them wait for all of a group at once.
//
// A subgroup computes STRIPS times M rows (of each of the MATRICES) by TOKEN_TILES times N tokens; TEAMS of them take turns
// along the row and add up their sums in the end.

#extension GL_KHR_cooperative_matrix : require
#extension GL_EXT_shader_explicit_arithmetic_types_float16 : require
#extension GL_EXT_buffer_reference_uvec2 : require

layout(constant_id = 2) const uint ENCODING = 4;
layout(constant_id = 3) const uint STRIPS = 1;
layout(constant_id = 4) const uint TOKEN_TILES = 1;
layout(constant_id = 5) const uint TEAMS = 8;
layout(constant_id = 6) const bool AHEAD = false;  ///< a group's weights are loaded while the one before is multiplied
layout(constant_id = 7) const uint M = 16;
layout(constant_id = 8) const uint N = 16;
layout(constant_id = 9) const uint K = 16;
layout(constant_id = 10) const uint CLASSES = 4;
layout(constant_id = 11) const uint SLOTS = 2;     ///< rows of a lane in a matrix
layout(constant_id = 12) const uint X_LANES = 32;  ///< with different elements of tokens
layout(constant_id = 13) const uint A_LANE = 0;
layout(constant_id = 14) const uint A_COMPONENT = 0;
layout(constant_id = 15) const uint A_SLOT = 0;  ///< rows of a lane
layout(constant_id = 16) const uint WIDTH = 4;   ///< neighbouring rows of a token that a thread adds up at once: 1 or 4
layout(constant_id = 17) const bool JOINED = false;
layout(constant_id = 18) const uint PIECES_AT_ONCE = 4;  ///< of each tile of tokens: whole matrices
layout(constant_id = 19) const uint SHARES = 1;  ///< workgroups that have a part of their rows each (gl_WorkGroupID.z)
const bool FIXED_ORDER = false;

#include "fragment_layout.glsl"
#include "halves.glsl"
#include "weights.glsl"

const uint POSITIONS = K / CLASSES;  ///< values of a lane's block in one matrix
const uint TILES_OF_GROUP = 32 / POSITIONS;
const uint COMPONENTS = SLOTS * POSITIONS;
const uint X_COMPONENTS = K * N / X_LANES;
const uint PIECES = TILES_OF_GROUP * X_COMPONENTS / 8;       ///< of eight halves, of a lane and tile of tokens
/// Places of several pieces differ by constants, which are part of their loads. Registers for addresses are what that costs.
const bool NEAR = PIECES_AT_ONCE * 8 > (X_COMPONENTS > 8 ? X_COMPONENTS : 8);
const uint TILES_AT_ONCE = PIECES_AT_ONCE * 8 / X_COMPONENTS;
const uint ROW_TILES = MATRICES * STRIPS;
const uint BLOCKS = ROW_TILES * SLOTS;  ///< of a lane in a group
const uint SUBGROUPS = THREADS / SUBGROUP;
const uint ROW_PARTS = SUBGROUPS / TEAMS;
/// Neighbouring components are neighbouring values of one row, which are decoded together.
const bool PAIRS = (A_COMPONENT & 31) == IN_POSITION << 3;

#define Weights coopmat<float16_t, gl_ScopeSubgroup, M, K, gl_MatrixUseA>
#define Vectors coopmat<float16_t, gl_ScopeSubgroup, K, N, gl_MatrixUseB>
#define Sums coopmat<float, gl_ScopeSubgroup, M, N, gl_MatrixUseAccumulator>

const uint SCRATCH = MATRICES * SUBGROUPS * M * N;
shared vec4 scratch_quads[WIDTH == 4 ? SCRATCH / 4 : 1];
shared float scratch[WIDTH == 4 ? 1 : SCRATCH];

Sums sums[ROW_TILES * TOKEN_TILES];
RawBlock group_blocks[BLOCKS];
uvec4 x_pieces[TOKEN_TILES * PIECES_AT_ONCE];

/// What this subgroup multiplies.
struct FragmentInput {
  Uvec4sIn x;
  uint blocks;      ///< of a row
  uint groups;      ///< of them
  uint row;         ///< of this lane, in the first strip
  uint first_tile;  ///< of tokens
  uint nothing;     ///< 0
  float units[MATRICES];  ///< what sums of each matrix are to be multiplied by: 2^(24 - n), n between 0 and 30
};

uint team_index() { return gl_SubgroupID % TEAMS; }
uint first_row_of(uint part) { return (gl_WorkGroupID.y * ROW_PARTS + part) * STRIPS * M; }
uint my_class() { return held(A_LANE, gl_SubgroupInvocationID, IN_CLASS); }

uint row_of_block(FragmentInput x, uint padded_rows, uint b) {
  return min(x.row + b / SLOTS % STRIPS * M + held(A_SLOT, b % SLOTS, IN_ROW), padded_rows - 1);
}

void load_group(WeightMatrix m[MATRICES], FragmentInput x, uint group) {
  const uint block = min(group * CLASSES + my_class(), x.blocks - 1);
  [[unroll]] for (uint b = 0; b < BLOCKS; ++b) {
    const uint matrix = b / (STRIPS * SLOTS);
    group_blocks[b] = load_words(m[matrix], place_block(m[matrix], row_of_block(x, m[0].padded_rows, b), block));
  }
}

f16vec2 halves_in(uint word) { return unpackFloat2x16(word); }

const uint WORDS = ENCODING == kEncodingQ4_0 ? 4 : 8;  ///< of nibbles, or of bytes
/// What turns numbers in two's complement into positive ones, larger by MIDDLE.
const uint SIGNS = ENCODING == kEncodingQ4_0 ? 0x88888888u
                   : ENCODING == kEncodingQ8_0 || ENCODING == kEncodingQ6_K || ENCODING == kEncodingMxfp4 ? 0x80808080u : 0u;
const uint MIDDLE = ENCODING == kEncodingQ4_0 ? 8 : SIGNS != 0u ? 128 : 0;

const float SMALLEST = 16777216;  ///< 2^24: its inverse is the smallest half

// A group's blocks as they are decoded two values at a time: value / unit = scale * (number 2^-24) + offset. Numbers in a
// half's last bits are subnormal: nothing must be done to make them halves, and the product and sum are rounded once.
uint block_words[BLOCKS * WORDS];
f16vec2 block_scales[BLOCKS];   ///< q4_0: of low nibbles, and of high ones; else of the first and the second 16 values
f16vec2 block_offsets[BLOCKS];  ///< likewise

/// `nothing` is 0.
void unpack_block(uint b, FragmentInput x, uint row, uint block, uint nothing) {
  RawBlock raw = group_blocks[b];
  split_words(raw, row);
  const float unit = x.units[b / (STRIPS * SLOTS)];
  const float power = inverse_of_power(unit) * SMALLEST;
  const uint signs = SIGNS | nothing;
  if (ENCODING == kEncodingQ4_0) {
    [[unroll]] for (uint w = 0; w < WORDS; ++w) block_words[b * WORDS + w] = raw.units[0][w] ^ signs;
    block_scales[b] = f16vec2(vec2(raw.scale) * vec2(power, power / 16));
    block_offsets[b] = f16vec2(block_scales[b].x * float16_t(-float(MIDDLE) / SMALLEST));
    return;
  }
  const ByteBlock bytes = unpack_bytes(raw, block);
  [[unroll]] for (uint w = 0; w < WORDS; ++w) block_words[b * WORDS + w] = bytes.words[w] ^ signs;
  block_scales[b] = f16vec2(bytes.scales * power);
  block_offsets[b] = f16vec2(bytes.offset * (power / SMALLEST)) + block_scales[b] * float16_t(-float(MIDDLE) / SMALLEST);
}

/// Values 2 pair and 2 pair + 1 in the order of value_of_order.
f16vec2 decode_pair(uint b, uint pair) {
  const uint within = pair % 4;
  const uint at = ENCODING == kEncodingQ4_0 ? pair / 4 : within / 2 * 4 + pair / 4;
  const uint word = block_words[b * WORDS + at] >> (within % 2 * 8);
  const uint mask = ENCODING != kEncodingQ4_0 ? 0x00ff00ffu : within < 2 ? 0x000f000fu : 0x00f000f0u;
  const f16vec2 scale = f16vec2(within < 2 ? block_scales[b].x : block_scales[b].y);
  const f16vec2 offset = f16vec2(within < 2 ? block_offsets[b].x : block_offsets[b].y);
  return fma(halves_in(word & mask), scale, offset);
}

/// The address `units` of 16 bytes behind `address`: constant places from there on cost a load no arithmetic.
Uvec4sIn behind(Uvec4sIn address, uint units) {
  uvec2 bits = uvec2(address);
  uint carry;
  bits.x = uaddCarry(bits.x, units * 16, carry);
  bits.y += carry;
  return Uvec4sIn(bits);
}

void load_x(FragmentInput x, uint group, uint t) {
  const uint lane = gl_SubgroupInvocationID % X_LANES;
  [[unroll]] for (uint n = 0; n < TOKEN_TILES; ++n) {
    const uint first = ((x.first_tile + n) * x.groups + group) * PIECES, at = t * X_COMPONENTS / 8;
    if (NEAR) {
      Uvec4sIn from = behind(x.x, first * X_LANES + lane);
      [[unroll]] for (uint p = 0; p < PIECES_AT_ONCE; ++p) {
        x_pieces[n * PIECES_AT_ONCE + p] = from.v[(at + p) * X_LANES];
      }
    } else {
      [[unroll]] for (uint p = 0; p < PIECES_AT_ONCE; ++p) {
        x_pieces[n * PIECES_AT_ONCE + p] = x.x.v[(first + at + p) * X_LANES + lane];
      }
    }
  }
}

/// 0, when all of the tokens' pieces are there.
uint wait_for_x(uint nothing) {
  uint all = 0;
  [[unroll]] for (uint i = 0; i < TOKEN_TILES * PIECES_AT_ONCE; ++i) all |= x_pieces[i].x;
  return all & nothing;
}

/// 0, when all of the group's words are there.
uint wait_for_group(uint nothing) {
  uint all = 0;
  [[unroll]] for (uint b = 0; b < BLOCKS; ++b) {
    [[unroll]] for (uint u = 0; u < UNITS; ++u) all |= group_blocks[b].units[u].x;
    all |= group_blocks[b].words.x;
  }
  return all & nothing;
}

void multiply_tile(FragmentInput x, uint t) {
  Vectors vectors[TOKEN_TILES];
  [[unroll]] for (uint n = 0; n < TOKEN_TILES; ++n) {
    [[unroll]] for (uint i = 0; i < X_COMPONENTS; i += 2) {
      const uint at = t % TILES_AT_ONCE * X_COMPONENTS + i;
      const f16vec2 two = halves_in(x_pieces[n * PIECES_AT_ONCE + at / 8][at % 8 / 2]);
      vectors[n][i] = two.x;
      vectors[n][i + 1] = two.y;
    }
  }
  [[unroll]] for (uint r = 0; r < ROW_TILES; ++r) {
    Weights weights;
    [[unroll]] for (uint i = 0; i < COMPONENTS; i += PAIRS ? 2 : 1) {
      const uint order = t * POSITIONS + held(A_COMPONENT, i, IN_POSITION);
      const f16vec2 two = decode_pair(r * SLOTS + held(A_COMPONENT, i, IN_ROW), order / 2);
      weights[i] = order % 2 == 0 ? two.x : two.y;
      if (PAIRS) weights[i + 1] = two.y;
    }
    [[unroll]] for (uint n = 0; n < TOKEN_TILES; ++n) {
      sums[r * TOKEN_TILES + n] = coopMatMulAdd(weights, vectors[n], sums[r * TOKEN_TILES + n]);
    }
  }
}

void load_and_multiply_tile(FragmentInput x, uint group, uint t, bool is_loaded) {
  if (t % TILES_AT_ONCE == 0 && !is_loaded) {
    load_x(x, group, t);
    if (JOINED) x_pieces[0].x |= wait_for_x(x.nothing);
  }
  multiply_tile(x, t);
}

/// What load_group has loaded; with AHEAD, loads group `next` meanwhile.
void multiply_group(WeightMatrix m[MATRICES], FragmentInput x, uint group, uint next) {
  uint nothing = 0;
  load_x(x, group, 0);
  if (JOINED) nothing = wait_for_x(x.nothing) | wait_for_group(x.nothing);
  [[unroll]] for (uint b = 0; b < BLOCKS; ++b) {
    unpack_block(b, x, row_of_block(x, m[0].padded_rows, b), group * CLASSES + my_class(), nothing);
  }
  if (AHEAD) load_group(m, x, next);
  if (TILES_OF_GROUP <= 8) {
    [[unroll]] for (uint t = 0; t < TILES_OF_GROUP; ++t) load_and_multiply_tile(x, group, t, t == 0);
  } else {  // code for all would be compiled for minutes (lavapipe)
    [[dont_unroll]] for (uint t = 0; t < TILES_OF_GROUP; ++t) load_and_multiply_tile(x, group, t, false);
  }
}

/// This subgroup's turns' sums. `nothing` is 0, which no compiler knows.
void multiply_fragments(WeightMatrix m[MATRICES], Uvec4sIn x_fragments, float units[MATRICES], uint nothing) {
  const uint blocks = m[0].blocks, groups = (blocks + CLASSES - 1) / CLASSES;
  const uint row = first_row_of(gl_SubgroupID / TEAMS) + held(A_LANE, gl_SubgroupInvocationID, IN_ROW);
  FragmentInput x = FragmentInput(x_fragments, blocks, groups, row, gl_WorkGroupID.x * TOKEN_TILES, nothing, units);
  [[unroll]] for (uint i = 0; i < ROW_TILES * TOKEN_TILES; ++i) sums[i] = Sums(0);
  const uint share = SHARES > 1 ? gl_WorkGroupID.z : 0, end = groups * (share + 1) / SHARES;
  const uint first = groups * share / SHARES + team_index();
  if (AHEAD) load_group(m, x, min(first, end - 1));
  for (uint group = first; group < end; group += TEAMS) {
    if (!AHEAD) load_group(m, x, group);
    multiply_group(m, x, group, min(group + TEAMS, end - 1));
  }
}

/// The workgroup's results, one strip and tile of tokens of each of its row parts after another, WIDTH rows of a token each:
/// hands the sums on through shared memory. Call them from every thread, between barriers.
const uint TOKEN_RESULTS = M / WIDTH;
const uint TILE_RESULTS = TOKEN_RESULTS * N;
const uint RESULTS = ROW_PARTS * TILE_RESULTS;

/// An index that no compiler knows would have the sums lie in memory from the start, so each is asked for by its own.
void share_sums(uint strip_and_tile) {
  [[unroll]] for (uint i = 0; i < STRIPS * TOKEN_TILES; ++i) {
    if (i != strip_and_tile) continue;
    [[unroll]] for (uint matrix = 0; matrix < MATRICES; ++matrix) {
      const uint first = (matrix * SUBGROUPS + gl_SubgroupID) * TILE_RESULTS;
      if (WIDTH == 4) {
        coopMatStore(sums[matrix * STRIPS * TOKEN_TILES + i], scratch_quads, first, TOKEN_RESULTS,
                     gl_CooperativeMatrixLayoutColumnMajor);
      } else {
        coopMatStore(sums[matrix * STRIPS * TOKEN_TILES + i], scratch, first, TOKEN_RESULTS,
                     gl_CooperativeMatrixLayoutColumnMajor);
      }
    }
  }
}

/// The first WIDTH are meant.
vec4 whole_sums(uint matrix, uint result) {
  const uint first = matrix * SUBGROUPS + result / TILE_RESULTS * TEAMS;
  vec4 sum = vec4(0);
  for (uint team = 0; team < TEAMS; ++team) {
    const uint at = (first + team) * TILE_RESULTS + result % TILE_RESULTS;
    if (WIDTH == 4) {
      sum += scratch_quads[at];
    } else {
      sum.x += scratch[at];
    }
  }
  return sum;
}

/// The first row of a result.
uint row_of(uint strip_and_tile, uint result) {
  return first_row_of(result / TILE_RESULTS) + strip_and_tile / TOKEN_TILES * M + result % TOKEN_RESULTS * WIDTH;
}

uint token_of(uint strip_and_tile, uint result) {
  return (gl_WorkGroupID.x * TOKEN_TILES + strip_and_tile % TOKEN_TILES) * N + result % TILE_RESULTS / TOKEN_RESULTS;
}

/// Values from `at` on, of which `count` exist; four at once where all begin at a multiple of 4.
void store_values(Floats result, uint at, uint count, bool aligned, vec4 value) {
  if (WIDTH == 4 && aligned) {
    Vec4s(result).v[at / 4] = value;
    return;
  }
  [[unroll]] for (uint n = 0; n < WIDTH; ++n) {
    if (n < count) result.v[at + n] = value[n];
  }
}
