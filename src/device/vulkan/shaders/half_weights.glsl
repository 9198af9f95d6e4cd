// Weights in f16 and bf16 as halves in shared memory, scaled by a power of two for each row (layout.h).

shared float row_scales[TILE_ROWS];  ///< that undo the powers of two

// A thread stages octets team_thread(), that + TEAM and so on of the rows, one row after another.
const uint WEIGHT_LOADS = (TILE_ROWS * OCTETS + TEAM - 1) / TEAM;

uint row_of_weights(uint i) { return (i * TEAM + team_thread()) / OCTETS; }
uint octet_of_weights(uint i) { return (i * TEAM + team_thread()) % OCTETS; }

/// Where a thread's octets of the next stage to be loaded are, and what scales them.
struct WeightSource {
  uint weights[WEIGHT_LOADS];
  Uvec4sIn matrices[MATRICES == 1 ? 1 : WEIGHT_LOADS];
  float powers[WEIGHT_LOADS];
};

/// The row of the tile in its matrix, and the number of the matrix.
uvec2 row_in_matrix(WeightMatrix m, uint first_row, uint tile_row) {
  const uvec2 place = place_of(min(tile_row, TILE_ROWS - 1));
  return uvec2(min(first_row + place.x, m.padded_rows - 1), place.y);
}

float power_of_row(WeightMatrix m[MATRICES], uvec2 row) {
  return FloatsIn(row.y == 0 ? m[0].at.scales : m[MATRICES - 1].at.scales).v[row.x];
}

void find_weights(WeightMatrix m[MATRICES], uint first_row, out WeightSource source) {
  const uint octets = 4 * m[0].blocks, first = team_index() * OCTETS;
  [[unroll]] for (uint i = 0; i < WEIGHT_LOADS; ++i) {
    const uvec2 row = row_in_matrix(m[0], first_row, row_of_weights(i));
    const uint at = MATRICES == 1 ? 0 : i;
    source.matrices[at] = m[0].at.quants;
    if (row.y != 0) source.matrices[at] = m[MATRICES - 1].at.quants;
    source.powers[i] = power_of_row(m, row);
    source.weights[i] = row.x * octets + first + octet_of_weights(i);
  }
}

void advance(inout WeightSource source, uint octets) {
  [[unroll]] for (uint i = 0; i < WEIGHT_LOADS; ++i) source.weights[i] += octets;
}

struct WeightStage {
  uvec4 octets[WEIGHT_LOADS];
};

void load_weights(WeightSource source, out WeightStage stage) {
  [[unroll]] for (uint i = 0; i < WEIGHT_LOADS; ++i) {
    stage.octets[i] = source.matrices[MATRICES == 1 ? 0 : i].v[source.weights[i]];
  }
}

uint scaled_pair(uint pair, float power) {
  if (ENCODING == kEncodingF16) return packFloat2x16(unpackFloat2x16(pair) * float16_t(power));
  return packHalf2x16(uintBitsToFloat(uvec2(pair << 16, pair & 0xffff0000u)) * power);
}

void store_weights(uint buffer_index, WeightStage stage, WeightSource source) {
  [[unroll]] for (uint i = 0; i < WEIGHT_LOADS; ++i) {
    const uint row = row_of_weights(i);
    if (TILE_ROWS * OCTETS % TEAM != 0 && row >= TILE_ROWS) continue;
    uvec4 octet;
    [[unroll]] for (uint w = 0; w < 4; ++w) octet[w] = scaled_pair(stage.octets[i][w], source.powers[i]);
    weight_halves[(buffer_index * TILE_ROWS + row) * STRIDE + octet_of_weights(i)] = octet;
  }
}

void store_row_scales(WeightMatrix m[MATRICES], uint first_row) {
  for (uint i = thread_index(); i < TILE_ROWS; i += THREADS) {
    row_scales[i] = inverse_of_power(power_of_row(m, row_in_matrix(m[0], first_row, i)));
  }
}

void undo_row_powers(Part part, inout Sums sums[TILES]) {
  [[unroll]] for (uint i = 0; i < TILES; ++i) {
    Sums row;
    LOAD_ROWS(row, row_scales, part.row + i / TOKEN_TILES * M);
    sums[i] *= row;
  }
}
