// What all matmuls on cooperative matrices (GL_KHR_cooperative_matrix) have in common: who computes which part of a tile.
//
// A workgroup computes TILE_ROWS rows of weights by TILE_TOKENS tokens, a subgroup of it SUB_ROWS by SUB_TOKENS. DEPTH times
// 32 bytes of every row of weights are a stage, in shared memory at once, while the next is on its way into registers. With
// two BUFFERS one barrier a stage is enough. A workgroup of more subgroups than the tile has parts is several teams, which
// take turns along the row, each with stages of its own, until their sums are added up.
// With two MATRICES (gate and up) the first half of each subgroup's rows is the gate's, the second half the up's of the
// same outputs. Rows are whole numbers of stages for all teams.

#extension GL_KHR_cooperative_matrix : require

layout(constant_id = 2) const uint ENCODING = 4;
layout(constant_id = 3) const uint TILE_ROWS = 64;
layout(constant_id = 4) const uint TILE_TOKENS = 64;
layout(constant_id = 5) const uint SUB_ROWS = 32;
layout(constant_id = 6) const uint SUB_TOKENS = 32;
layout(constant_id = 7) const uint DEPTH = 2;
layout(constant_id = 8) const uint M = 16;  ///< rows, tokens and values of one cooperative matrix
layout(constant_id = 9) const uint N = 16;
layout(constant_id = 10) const uint K = 16;
layout(constant_id = 11) const uint BUFFERS = 1;  ///< stages of a team in shared memory

#include "weights.glsl"

const uint SUBGROUPS = THREADS / SUBGROUP;
const uint ROW_PARTS = TILE_ROWS / SUB_ROWS;
const uint TOKEN_PARTS = TILE_TOKENS / SUB_TOKENS;
const uint PARTS_OF_TILE = ROW_PARTS * TOKEN_PARTS;
const uint TEAMS = SUBGROUPS / PARTS_OF_TILE;  ///< that take turns along the row
const uint TEAM = THREADS / TEAMS;             ///< threads that fill a stage together
const bool ALONE = TEAM == SUBGROUP;
const uint STAGES = TEAMS * BUFFERS;
const uint ROW_TILES = SUB_ROWS / M;
const uint TOKEN_TILES = SUB_TOKENS / N;
const uint TILES = ROW_TILES * TOKEN_TILES;

// Cooperative matrices are loaded from multiples of 16 bytes only, so every shared array is a multiple of that long.
shared float scratch[SUBGROUPS * M * N];

#define Sums coopmat<float, gl_ScopeSubgroup, M, N, gl_MatrixUseAccumulator>

// A stride of 0 gives every column (or row) of a matrix the same values, in the layout of the sums.
#define LOAD_ROWS(matrix, values, at) coopMatLoad(matrix, values, at, 0, gl_CooperativeMatrixLayoutColumnMajor)
#define LOAD_TOKENS(matrix, values, at) coopMatLoad(matrix, values, at, 0, gl_CooperativeMatrixLayoutRowMajor)

struct MatrixInput {
  Uvec4sIn x;     ///< activations, as the weights' kind takes them
  Vec2sIn pairs;  ///< what scales them
  uint first_token;
  uint tokens;  ///< rows of x that exist
  uint blocks;
};

uint team_index() { return gl_SubgroupID / PARTS_OF_TILE; }
uint team_thread() { return thread_index() % TEAM; }

/// A stage is written, or read, by all of its team.
void team_barrier() {
  if (ALONE) {
    subgroupBarrier();
  } else {
    barrier();
  }
}

/// The row of its matrix, counted from the workgroup's first, that tile row `i` holds, and the number of the matrix.
uvec2 place_of(uint i) {
  if (MATRICES == 1) return uvec2(i, 0);
  const uint within = i % SUB_ROWS;
  return uvec2(i / SUB_ROWS * (SUB_ROWS / 2) + within % (SUB_ROWS / 2), within / (SUB_ROWS / 2));
}

/// This subgroup's part of the tile.
struct Part {
  uint row, token;  ///< first ones, in the tile
};

Part my_part() {
  const uint part = gl_SubgroupID % PARTS_OF_TILE;
  return Part(part / TOKEN_PARTS * SUB_ROWS, part % TOKEN_PARTS * SUB_TOKENS);
}

/// The first team has the whole sums in the end. The others stay: lavapipe loses what a subgroup does behind a barrier that
/// others have left before.
bool has_result() { return team_index() == 0; }

/// Adds up the teams' sums, in the first of them.
void add_turns(inout Sums sums[TILES]) {
  if (TEAMS == 1) return;
  [[unroll]] for (uint i = 0; i < TILES; ++i) {
    coopMatStore(sums[i], scratch, gl_SubgroupID * M * N, M, gl_CooperativeMatrixLayoutColumnMajor);
    barrier();
    if (has_result()) {
      for (uint team = 1; team < TEAMS; ++team) {
        Sums other;
        coopMatLoad(other, scratch, (team * PARTS_OF_TILE + gl_SubgroupID) * M * N, M, gl_CooperativeMatrixLayoutColumnMajor);
        sums[i] += other;
      }
    }
    barrier();
  }
}
