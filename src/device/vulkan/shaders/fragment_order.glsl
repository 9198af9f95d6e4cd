// Activations straight into the order of lanes that fill matrices in registers (fragment_tokens.glsl), for those that make them.
// The includer declares the constants: FRAGMENT_N (0: not wanted), FRAGMENT_K, FRAGMENT_CLASSES and FRAGMENT_LANES as in
// make_fragments.comp, and OF_TOKEN, OF_CLASS and OF_POSITION: which bit of a lane's or a component's number each bit of these
// is, four bits for each, the uppermost of them set for a component's.

const uint ORDER_POSITIONS = FRAGMENT_K / FRAGMENT_CLASSES;
const uint ORDER_COMPONENTS = FRAGMENT_K * FRAGMENT_N / FRAGMENT_LANES;
const uint ORDER_PIECES = 32 / ORDER_POSITIONS * ORDER_COMPONENTS / 8;

/// Whether four values that a lane takes one after another are four of its components.
bool keeps_quads() { return ORDER_POSITIONS >= 4 && (OF_POSITION & 255) == 0x98; }

uint placed_bit(uint places, uint value, uint component, uint b) {
  const uint place = (places >> (4 * b)) & 15;
  return place >> 3 == component ? ((value >> b) & 1) << (place & 7) : 0;
}

/// What `value` says of a lane's number, or of a component's.
uint placed(uint places, uint value, uint component) {
  return placed_bit(places, value, component, 0) | placed_bit(places, value, component, 1) |
         placed_bit(places, value, component, 2) | placed_bit(places, value, component, 3) |
         placed_bit(places, value, component, 4) | placed_bit(places, value, component, 5);
}

/// Half `at` alone: its neighbour in the word is another thread's, which writes it at the same time.
void store_half(Uints halves, uint begin, uint at, float value) {
  const uint shift = at % 2 * 16;
  atomicAnd(halves.v[begin + at / 2], ~(0xffffu << shift));
  atomicOr(halves.v[begin + at / 2], packHalf2x16(vec2(value, 0)) << shift);
}

/// Values 4 quad .. 4 quad + 3 of row `row`, which is `blocks` blocks wide, whole groups of FRAGMENT_CLASSES. The halves lie
/// `begin` uvec2s behind `halves`.
void store_in_order(Uvec2s halves, uint begin, uint row, uint blocks, uint quad, vec4 value) {
  const uint block = quad / 8, token = row % FRAGMENT_N, class_of = block % FRAGMENT_CLASSES;
  const uint lane = placed(OF_TOKEN, token, 0) | placed(OF_CLASS, class_of, 0);
  const uint component = placed(OF_TOKEN, token, 1) | placed(OF_CLASS, class_of, 1);
  const uint first = (row / FRAGMENT_N * (blocks / FRAGMENT_CLASSES) + block / FRAGMENT_CLASSES) * ORDER_PIECES;
  const uint order = quad % 4 * 8 + quad % 8 / 4 * 4;  // of four in a row as fragment_layout.glsl's value_of_order has them
  const vec4 in_order = value.xzyw;
  [[unroll]] for (uint i = 0; i < 4; ++i) {
    const uint position = (order + i) % ORDER_POSITIONS;
    const uint place = (order + i) / ORDER_POSITIONS * ORDER_COMPONENTS + (component | placed(OF_POSITION, position, 1));
    const uint at = ((first + place / 8) * FRAGMENT_LANES + (lane | placed(OF_POSITION, position, 0))) * 8 + place % 8;
    if (!keeps_quads()) {
      store_half(Uints(halves), 2 * begin, at, in_order[i]);
    } else if (i == 0) {
      halves.v[begin + at / 4] = uvec2(packHalf2x16(in_order.xy), packHalf2x16(in_order.zw));
    }
  }
}

/// The same of bytes, with their block's scale times the row's power of two.
void store_bytes_in_order(Uvec2s halves, uint begin, uint row, uint blocks, uint quad, uint bytes, float scale) {
  const int word = int(bytes);
  const vec4 value = vec4(bitfieldExtract(word, 0, 8), bitfieldExtract(word, 8, 8), bitfieldExtract(word, 16, 8),
                          bitfieldExtract(word, 24, 8));
  store_in_order(halves, begin, row, blocks, quad, value * scale);
}
