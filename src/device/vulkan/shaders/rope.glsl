// Norm and rope of one head by one subgroup. Needs the specialisation constants HEAD_DIM and INTERLEAVED.

const uint HEAD_PAIRS = HEAD_DIM / 2;

/// Where the two values of pair i lie in a head: first those that rope turns together, then neighbours.
uvec2 pair_places(uint i, uint turned) {
  return INTERLEAVED || i >= turned ? uvec2(2 * i, 2 * i + 1) : uvec2(i, i + turned);
}

/// What the values of some heads, or of one, are multiplied by, besides the norm's weights. Called by whole subgroups.
float norm_factor_of(FloatsIn heads, uint from, uint width, float epsilon) {
  float sum = 0;
  for (uint i = gl_SubgroupInvocationID; i < width; i += SUBGROUP) sum += heads.v[from + i] * heads.v[from + i];
  return inversesqrt(subgroupAdd(sum) / float(width) + epsilon);
}
float norm_factor(FloatsIn head, uint from, float epsilon) { return norm_factor_of(head, from, HEAD_DIM, epsilon); }

/// The same of a head less its mean.
float mean_of(FloatsIn head, uint from) {
  float sum = 0;
  for (uint i = gl_SubgroupInvocationID; i < HEAD_DIM; i += SUBGROUP) sum += head.v[from + i];
  return subgroupAdd(sum) / float(HEAD_DIM);
}
float centred_norm_factor(FloatsIn head, uint from, float mean, float epsilon) {
  float sum = 0;
  for (uint i = gl_SubgroupInvocationID; i < HEAD_DIM; i += SUBGROUP) {
    sum += (head.v[from + i] - mean) * (head.v[from + i] - mean);
  }
  return inversesqrt(subgroupAdd(sum) / float(HEAD_DIM) + epsilon);
}

/// Pair i turned by `position`; `table` is the coarse table, which the fine one follows.
vec2 turn(vec2 pair, Vec2sIn table, uint position, uint turned, uint i) {
  const vec2 coarse = table.v[position / kRopeSpan * turned + i];
  const vec2 fine = table.v[(kRopeCoarse + position % kRopeSpan) * turned + i];
  const float c = coarse.x * fine.x - coarse.y * fine.y;
  const float s = coarse.y * fine.x + coarse.x * fine.y;
  return vec2(pair.x * c - pair.y * s, pair.x * s + pair.y * c);
}
