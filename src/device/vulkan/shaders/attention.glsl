// What the attention shaders have in common: specialisation constants 2 to 6, the arguments, and how a result is written.
#include "common.glsl"
layout(constant_id = 2) const uint HEAD_DIM = 128;
layout(constant_id = 3) const uint GROUP = 2;  ///< query heads of a KV head
layout(constant_id = 4) const bool HAS_SINKS = false;
layout(constant_id = 5) const bool FLOAT_RESULT = true;
layout(constant_id = 6) const bool QUANTIZED_RESULT = false;
#include "quantize.glsl"
const uint ACTIVATION = 0;
const bool FIXED_ORDER = false;
#include "fixed_order.glsl"
#include "activation.glsl"

layout(push_constant) uniform Arguments { AttentionArguments a; };

const uint QUADS = HEAD_DIM / 4;
const uint CHUNKS = HEAD_DIM / 8;  ///< of 8 dimensions, 16 bytes of f16
const float NOTHING = -1e30;       ///< score of a key that is not seen
/// Of results as halves: they lie between values, which are f16, and a scale that was rounded up must not bring one beyond.
const float ATTENDED_POWER = 0.5;

struct QuantizedQuad {
  uint bytes;
  float scale;
};

vec4 wide(uint low, uint high) { return vec4(unpackHalf2x16(low), unpackHalf2x16(high)); }

AttentionTile tile_of(uint index) { return TilesRef(a.step).tile[a.tiles + index]; }

/// Of the cache, in rows of HEAD_DIM: a key's; its value lies kCacheBlockTokens behind. `key` is a position.
uint key_row(AttentionTile tile, uint kv_head, uint key) {
  const uint block = uint(IntsIn(a.step).v[a.tables + tile.table + key / kCacheBlockTokens]);
  return (block * a.kv_heads + kv_head) * 2 * kCacheBlockTokens + key % kCacheBlockTokens;
}

float capped(float score) { return a.softcap > 0 ? soft_cap(score, a.softcap) : score; }

/// The first position that the token at `position` sees.
uint first_seen(uint position) {
  const uint window = a.window & ~kWindowIsChunk;
  if (window == 0 || position < window) return 0;
  return (a.window & kWindowIsChunk) != 0 ? position - position % window : position + 1 - window;
}

/// What sums relative to the score `top` are multiplied by.
float normalization(float top, float denominator, uint head) {
  if (!HAS_SINKS) return 1 / denominator;
  const float sink = a.sinks.v[head];
  const float higher = max(top, sink);
  const float factor = exp(top - higher);
  return factor / (denominator * factor + exp(sink - higher));
}

/// Eight neighbouring lanes hold a block of 32 values and call this together. Returns the bytes, if there are any.
QuantizedQuad write_quad(bool exists, uint token, uint head, uint quad, vec4 value) {
  const uint at = (token * a.kv_heads * GROUP + head) * QUADS + quad;
  if (FLOAT_RESULT && exists) Vec4s(a.result).v[at] = value;
  QuantizedQuad quad_of = QuantizedQuad(0, 0);
  if (QUANTIZED_RESULT) {
    vec2 pair;
    const uint bytes = quantize_quad(value, pair);
    quad_of = QuantizedQuad(bytes, pair.x);
    if (exists) {
      Uints(a.result).v[a.result_quants + at] = bytes;
      if (at % 8 == 0) Vec2s(a.result).v[a.result_pairs + at / 8] = pair;
    }
  }
  return quad_of;
}
