// A block of 32 activations becomes signed bytes and a pair (scale, scale * sum of bytes): see layout.h.

/// Eight neighbouring lanes hold four values each of one block; all lanes of a cluster must be active together. Returns
/// this lane's four bytes; `pair` is the same in all eight.
uint quantize_quad(vec4 value, out vec2 pair) {
  const vec4 size = abs(value);
  const float largest = subgroupClusteredMax(max(max(size.x, size.y), max(size.z, size.w)), 8);
  const float scale = largest / 127;
  const ivec4 q = ivec4(roundEven(value * (largest > 0 ? 127 / largest : 0)));
  const int sum = subgroupClusteredAdd(q.x + q.y + q.z + q.w, 8);
  pair = vec2(scale, scale * float(sum));
  return uint(q.x & 255) | uint(q.y & 255) << 8 | uint(q.z & 255) << 16 | uint(q.w & 255) << 24;
}
