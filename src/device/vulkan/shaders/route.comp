#version 460
#extension GL_GOOGLE_include_directive : require
// ChooseExperts: a subgroup for each row, whose lanes share the experts out.
#include "common.glsl"
#include "expert_layout.h"
layout(constant_id = 2) const uint KIND = 0;
layout(constant_id = 3) const uint CHOSEN = 1;
layout(constant_id = 4) const uint GROUPS = 1;
layout(constant_id = 5) const bool HAS_CORRECTION = false;
layout(constant_id = 6) const bool NORMALISE = false;
layout(constant_id = 7) const bool LOGIT_ROWS = false;
layout(constant_id = 8) const bool HAS_EXPERT_SCALES = false;
layout(constant_id = 9) const uint GROUP_RATERS = 2;  ///< 1 or 2

layout(push_constant) uniform Arguments { RouteArguments a; };

const float NOTHING = -3.0e38;
shared float group_merits[GROUPS];
uint experts[CHOSEN];
float weights[CHOSEN];
float highest, total;  // of all scores, and of their exponentials

float score(uint expert) { return a.scores.v[gl_WorkGroupID.x * a.experts + expert]; }

float weight_of(uint expert) {
  const float x = score(expert);
  if (KIND == kRouterSoftmax) return exp(x - highest) / total;
  if (KIND == kRouterSigmoid) return 1 / (1 + exp(-x));
  return x;
}

float merit_of(uint expert) { return weight_of(expert) + (HAS_CORRECTION ? a.correction.v[expert] : 0); }

void sum_all() {
  highest = NOTHING;
  for (uint e = gl_SubgroupInvocationID; e < a.experts; e += SUBGROUP) highest = max(highest, score(e));
  highest = subgroupMax(highest);
  total = 0;
  for (uint e = gl_SubgroupInvocationID; e < a.experts; e += SUBGROUP) total += exp(score(e) - highest);
  total = subgroupAdd(total);
}

/// A group is as good as its best expert, or its two best together.
void rate_groups() {
  const uint size = a.experts / GROUPS;
  for (uint g = gl_SubgroupInvocationID; g < GROUPS; g += SUBGROUP) {
    float first = NOTHING, second = GROUP_RATERS > 1 && size > 1 ? NOTHING : 0;
    for (uint e = g * size; e < (g + 1) * size; ++e) {
      const float merit = merit_of(e);
      if (GROUP_RATERS > 1 && size > 1) second = max(second, min(first, merit));
      first = max(first, merit);
    }
    group_merits[g] = first + second;
  }
  barrier();
}

/// Whether fewer groups than are looked at are better; of equals the lower one is.
bool is_looked_at(uint group) {
  uint better = 0;
  for (uint g = 0; g < GROUPS; ++g) {
    const bool before = group_merits[g] > group_merits[group] || (group_merits[g] == group_merits[group] && g < group);
    better += before ? 1 : 0;
  }
  return better < a.chosen_groups;
}

bool may_be_chosen(uint expert, uint chosen) {
  for (uint r = 0; r < chosen; ++r) {
    if (experts[r] == expert) return false;
  }
  return GROUPS == 1 || is_looked_at(expert / (a.experts / GROUPS));
}

uint best_expert(uint chosen) {
  float best = NOTHING;
  uint place = a.experts;
  for (uint e = gl_SubgroupInvocationID; e < a.experts; e += SUBGROUP) {
    const float merit = merit_of(e);
    if (!may_be_chosen(e, chosen) || (place < a.experts && !(merit > best))) continue;
    best = merit;
    place = e;
  }
  const float most = subgroupMax(place < a.experts ? best : NOTHING);
  return min(subgroupMin(place < a.experts && best == most ? place : a.experts), a.experts - 1);
}

void main() {
  const uint row = gl_WorkGroupID.x;
  if (row >= (LOGIT_ROWS ? a.step.header.logit_rows : a.step.header.tokens)) return;
  if (KIND == kRouterSoftmax) sum_all();
  if (GROUPS > 1) rate_groups();
  float sum = 1e-20;
  for (uint r = 0; r < CHOSEN; ++r) {
    experts[r] = best_expert(r);
    weights[r] = weight_of(experts[r]);
  }
  if (KIND == kRouterSoftmaxOfChosen) {
    float most = weights[0], all = 0;
    for (uint r = 1; r < CHOSEN; ++r) most = max(most, weights[r]);
    for (uint r = 0; r < CHOSEN; ++r) all += weights[r] = exp(weights[r] - most);
    for (uint r = 0; r < CHOSEN; ++r) weights[r] /= all;
  }
  if (KIND == kRouterSigmoidOfChosen) {
    for (uint r = 0; r < CHOSEN; ++r) weights[r] = 1 / (1 + exp(-weights[r]));
  }
  for (uint r = 0; r < CHOSEN; ++r) sum += weights[r];
  if (gl_SubgroupInvocationID != 0) return;
  for (uint r = 0; r < CHOSEN; ++r) {
    a.routes.v[row * 2 * CHOSEN + r] = float(experts[r]);
    const float own = HAS_EXPERT_SCALES ? a.expert_scales.v[experts[r]] : 1;
    a.routes.v[row * 2 * CHOSEN + CHOSEN + r] = weights[r] * a.scale / (NORMALISE ? sum : 1) * own;
  }
}
