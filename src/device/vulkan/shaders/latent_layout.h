// layout.h for latent attention. GLSL includes it behind common.glsl.
#ifdef __cplusplus
#pragma once
#include "device/vulkan/shaders/layout.h"
namespace hearth::vulkan::shared {
#endif

/// The rows of the cache [latent_dim + rope_dim], and the ends of the queries' shares of the result, which are as wide.
struct StoreLatentsArguments {
  HEARTH_ADDRESS(StepRef) step;
  HEARTH_ADDRESS(FloatsIn) query;    ///< [rows][heads][nope_dim + rope_dim]
  HEARTH_ADDRESS(FloatsIn) latents;  ///< [rows][latent_dim + rope_dim]
  HEARTH_ADDRESS(UintsIn) positions;
  HEARTH_ADDRESS(UintsIn) slots;
  HEARTH_ADDRESS(FloatsIn) norm;
  HEARTH_ADDRESS(Vec2sIn) rope;
  HEARTH_ADDRESS(Uints) cache;
  HEARTH_ADDRESS(Floats) result;
  uint heads;
  uint nope_dim;
  uint latent_dim;
  uint pairs;  ///< that rope turns
  float epsilon;
};

/// Of each head's share of x the first `columns` values meet its rows of the weight; the products begin its share of the
/// result.
struct HeadLinearArguments {
  WeightRef weight;  ///< of heads from first_head on
  HEARTH_ADDRESS(StepRef) step;
  HEARTH_ADDRESS(FloatsIn) x;
  HEARTH_ADDRESS(Floats) result;
  uint first_head;
  uint outputs;  ///< of a head
  uint padded_rows;
  uint columns;
  uint in_share;
  uint in_width;
  uint out_share;
  uint out_width;
};

/// Places as in AttentionArguments.
struct LatentAttentionArguments {
  HEARTH_ADDRESS(StepRef) step;
  HEARTH_ADDRESS(Vec4sIn) query;
  HEARTH_ADDRESS(Uvec4sIn) cache;
  HEARTH_ADDRESS(Partials) partials;
  HEARTH_ADDRESS(Vec4s) result;
  uint tiles;
  uint tables;
  uint counters;
  uint heads;
  float scale;
  uint splits;  ///< most parts of a context
};

#ifdef __cplusplus
}  // namespace hearth::vulkan::shared
#endif
