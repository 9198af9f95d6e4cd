// One value of a block of weights, for loads that decode value by value. `at` may differ from lane to lane, so that words are
// addressed in memory, where weights.glsl, which this file needs, takes a block into registers whole.

/// The signed or unsigned number that value `at` is stored as.
float stored_number(WeightMatrix m, uint row, uint block, uint at) {
  UintsIn words = UintsIn(m.at.quants);
  if (ENCODING == kEncodingQ8_0) {
    const uint unit = (row * 2 + at / 16) * m.blocks + block;
    return float(bitfieldExtract(int(words.v[unit * 4 + at % 16 / 4]), int(at % 4 * 8), 8));
  }
  const uint index = row * m.blocks + block;
  const uint word = words.v[index * 4 + at % 16 / 4];
  const int shift = int(at % 4 * 8 + at / 16 * 4);
  if (ENCODING == kEncodingQ4_0) return float(bitfieldExtract(int(word), shift, 4));
  uint code = bitfieldExtract(word, shift, 4);
  if (ENCODING == kEncodingQ5_0 || ENCODING == kEncodingQ5_1 || ENCODING == kEncodingQ5_K) {
    code |= bitfieldExtract(m.at.extra.v[index], int(at % 4 * 8 + at / 4), 1) << 4;
  }
  if (ENCODING == kEncodingQ6_K) {
    const uint upper = m.at.extra.v[index * 2 + at / 16];
    return float(code | bitfieldExtract(upper, int(at % 4 * 8 + at % 16 / 4 * 2), 2) << 4) - 32;
  }
  return float(code);
}

/// Value `at` of a block, not for plain encodings.
float block_value(WeightMatrix m, uint row, uint block, uint at) {
  const float number = stored_number(m, row, block, at);
  if (IS_K) {
    const uint superblock = row * (m.blocks / 8) + block / 8, part = block % 8;
    if (ENCODING == kEncodingQ6_K) {
      const uint word = m.at.scales.v[superblock * 4 + part / 2];
      const float scale = float(bitfieldExtract(int(word), int(part % 2 * 16 + at / 16 * 8), 8));
      return FloatsIn(m.at.scales).v[m.padded_rows * (m.blocks / 8) * 4 + superblock] * scale * number;
    }
    const uvec4 header = Uvec4sIn(m.at.scales).v[superblock];
    const vec2 both = unpackHalf2x16(header.x) * part_scale(header, part);
    return both.x * number - both.y;
  }
  const float scale = load_grouped(m, row, block, 0);
  if (HAS_GROUPED_MINIMUM) return scale * number + load_grouped(m, row, block, m.padded_rows / 4);
  return scale * (ENCODING == kEncodingQ5_0 ? number - 16 : number);
}
