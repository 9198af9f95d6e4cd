// One row of an expert's weights times a row of activations in float32, by a subgroup. Needs what weights.glsl needs.

float row_product(WeightMatrix m, uint row, FloatsIn x, uint from) {
  float sum = 0;
  for (uint block = gl_SubgroupInvocationID; block < m.blocks; block += SUBGROUP) {
    const RawBlock raw = load_block(m, row, block);
    ByteBlock bytes;
    if (!IS_PLAIN) bytes = unpack_bytes(raw, block);
    [[unroll]] for (uint quad = 0; quad < 8; ++quad) {
      vec4 value;
      if (IS_PLAIN) {
        value = unpack_plain(raw, quad);
      } else {
        value = bytes_to_floats(bytes, quad);
      }
      const uint at = from + block * kBlockValues + 4 * quad;
      sum += dot(value, vec4(x.v[at], x.v[at + 1], x.v[at + 2], x.v[at + 3]));
    }
  }
  return subgroupAdd(sum);
}

/// Which expert a route leads to.
uint expert_of(FloatsIn routes, uint row, uint route, uint chosen) { return uint(routes.v[row * 2 * chosen + route]); }
