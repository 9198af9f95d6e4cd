// Which lane holds which element of a cooperative matrix, as it was learned on this device (fragment_layout.h): each bit of a
// lane's and a component's number stands for one bit of an element's place, five bits of a constant for each, its kind above
// three bits of its number.
const uint IN_ROW = 0;       ///< a bit of the row of weights (of a component: which of its lane's rows), or of the token
const uint IN_CLASS = 1;     ///< which of the blocks that a matrix has a part of
const uint IN_POSITION = 2;  ///< which value of the block's part

uint held_bit(uint fields, uint index, uint kind, uint b) {
  const uint field = (fields >> (5 * b)) & 31;
  return field >> 3 == kind ? ((index >> b) & 1) << (field & 7) : 0;
}

/// What `index` says of one kind. Not a loop: NVIDIA's compiler kept arrays whose indices came of one in memory.
uint held(uint fields, uint index, uint kind) {
  return held_bit(fields, index, kind, 0) | held_bit(fields, index, kind, 1) | held_bit(fields, index, kind, 2) |
         held_bit(fields, index, kind, 3) | held_bit(fields, index, kind, 4) | held_bit(fields, index, kind, 5);
}

/// The value of a block that a lane takes `order`-th: two at a time as words of nibbles and of bytes hold them.
uint value_of_order(uint order) {
  const uint pair = order / 2, within = pair % 4;
  return within / 2 * 16 + pair / 4 * 4 + within % 2 + order % 2 * 2;
}
