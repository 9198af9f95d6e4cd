#version 460
#extension GL_GOOGLE_include_directive : require
// Embed: one workgroup for each token; a thread widens one block of 32 values.
#include "common.glsl"
layout(constant_id = 2) const uint ENCODING = 1;
const bool FIXED_ORDER = false;
#include "weights.glsl"

layout(push_constant) uniform Arguments { EmbedArguments a; };

void main() {
  const uint token = gl_WorkGroupID.x;
  if (token >= a.step.header.tokens) return;
  int id = a.token_ids.v[token];
  if (id < 0) id = a.best.v[-1 - id];
  const uint row = uint(id) - a.first_row;
  if (row >= a.rows) return;  // another run of the table's rows holds it
  const uint blocks = a.width / kBlockValues;
  const uint padded_rows = (a.rows + kRowPadding - 1) / kRowPadding * kRowPadding;
  WeightMatrix m = WeightMatrix(a.table, blocks, padded_rows);
  for (uint block = thread_index(); block < blocks; block += THREADS) {
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
      a.result.v[(token * blocks + block) * 8 + quad] = value * a.scale;
    }
  }
}
