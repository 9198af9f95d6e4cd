// Arithmetic whose bits a driver may not touch where FIXED_ORDER is set. Without it drivers join multiplications with
// additions and reorder sums as they like, in each pipeline otherwise: a token's sum would depend on how many tokens
// the pipeline was made for. For wherever a sum has more than one way to be computed. Needs the constant FIXED_ORDER.

float add(float a, float b) {
  if (!FIXED_ORDER) return a + b;
  precise const float sum = a + b;
  return sum;
}

float times(float a, float b) {
  if (!FIXED_ORDER) return a * b;
  precise const float product = a * b;
  return product;
}

float dot_product(vec4 a, vec4 b) {
  if (!FIXED_ORDER) return dot(a, b);
  precise const float sum = a.x * b.x + a.y * b.y + a.z * b.z + a.w * b.w;
  return sum;
}
