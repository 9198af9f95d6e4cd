// Weights in blocks as halves in shared memory: decoded when they are stored, two values at a time.

// A thread stages one block of the rows, row_of_weights(0), that + ROWS_AT_ONCE and so on: neighbouring lanes take neighbouring
// blocks, which share lines of memory.
const uint STAGE_BLOCKS = OCTETS / 4;
const uint ROWS_AT_ONCE = TEAM / STAGE_BLOCKS;
const uint WEIGHT_LOADS = (TILE_ROWS + ROWS_AT_ONCE - 1) / ROWS_AT_ONCE;

uint row_of_weights(uint i) { return i * ROWS_AT_ONCE + team_thread() / STAGE_BLOCKS; }
uint block_of_thread() { return team_thread() % STAGE_BLOCKS; }

/// Where a thread's blocks of the next stage to be loaded are.
struct WeightSource {
  BlockPlace weights[WEIGHT_LOADS];
  WeightMatrix matrices[MATRICES == 1 ? 1 : WEIGHT_LOADS];
};

void find_weights(WeightMatrix m[MATRICES], uint first_row, out WeightSource source) {
  const uint block = team_index() * STAGE_BLOCKS + block_of_thread();
  [[unroll]] for (uint i = 0; i < WEIGHT_LOADS; ++i) {
    const uvec2 place = place_of(min(row_of_weights(i), TILE_ROWS - 1));
    const uint at = MATRICES == 1 ? 0 : i;
    source.matrices[at] = m[0];
    if (place.y != 0) source.matrices[at] = m[MATRICES - 1];
    source.weights[i] = place_block(m[0], min(first_row + place.x, m[0].padded_rows - 1), block);
  }
}

void advance(inout WeightSource source, uint octets) {
  [[unroll]] for (uint i = 0; i < WEIGHT_LOADS; ++i) advance(source.weights[i], octets / 4);
}

struct WeightStage {
  RawBlock blocks[WEIGHT_LOADS];
  uint place[WEIGHT_LOADS];  ///< of each block in its row, which says where its scales are in a superblock's header
};

void load_weights(WeightSource source, out WeightStage stage) {
  [[unroll]] for (uint i = 0; i < WEIGHT_LOADS; ++i) {
    stage.blocks[i] = load_words(source.matrices[MATRICES == 1 ? 0 : i], source.weights[i]);
    stage.place[i] = source.weights[i].block;
  }
}

/// Two signed bytes, at bits 0 and 16 of a word whose sign bits were turned, as halves: 1024 + n is n in the last bits.
f16vec2 halves_of(uint bytes) { return unpackFloat2x16((bytes & 0x00ff00ffu) | 0x64006400u) - float16_t(1024 + 128); }

/// Four values in the order of halve_bytes.comp.
uvec2 decode_word(uint word, float16_t scale, float16_t offset) {
  const uint turned = word ^ 0x80808080u;
  return uvec2(packFloat2x16(halves_of(turned) * scale + offset), packFloat2x16(halves_of(turned >> 8) * scale + offset));
}

void store_weights(uint buffer_index, WeightStage stage, WeightSource source) {
  [[unroll]] for (uint i = 0; i < WEIGHT_LOADS; ++i) {
    const uint row = row_of_weights(i);
    if (TILE_ROWS % ROWS_AT_ONCE != 0 && row >= TILE_ROWS) continue;
    RawBlock raw = stage.blocks[i];
    split_words(raw, source.weights[i].row);
    const ByteBlock bytes = unpack_bytes(raw, stage.place[i]);
    const uint to = (buffer_index * TILE_ROWS + row) * STRIDE + 4 * block_of_thread();
    const float16_t offset = float16_t(bytes.offset * (BYTE_UNIT * DECODED_POWER));
    [[unroll]] for (uint o = 0; o < 4; ++o) {
      const float16_t scale = float16_t(bytes.scales[o / 2] * (BYTE_UNIT * DECODED_POWER));
      weight_halves[to + o] = uvec4(decode_word(bytes.words[2 * o], scale, offset),
                                    decode_word(bytes.words[2 * o + 1], scale, offset));
    }
  }
}

void store_row_scales(WeightMatrix m[MATRICES], uint first_row) {}

void undo_row_powers(Part part, inout Sums sums[TILES]) {
  [[unroll]] for (uint i = 0; i < TILES; ++i) sums[i] *= 1 / (BYTE_UNIT * DECODED_POWER);  // what stores a result knows bytes
}
