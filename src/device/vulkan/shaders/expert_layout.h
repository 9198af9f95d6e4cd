// layout.h for mixtures of experts. GLSL includes it behind common.glsl.
#ifdef __cplusplus
#pragma once
#include "device/vulkan/shaders/layout.h"
namespace hearth::vulkan::shared {
#endif

// RouterKind, device/expert_operations.h.
HEARTH_CONSTANT kRouterSoftmax = 0;
HEARTH_CONSTANT kRouterSigmoid = 1;
HEARTH_CONSTANT kRouterSoftmaxOfChosen = 2;
HEARTH_CONSTANT kRouterSigmoidOfChosen = 3;

/// routes [rows][2][chosen]: experts' numbers, then their weights.
struct RouteArguments {
  HEARTH_ADDRESS(StepRef) step;
  HEARTH_ADDRESS(FloatsIn) scores;  ///< [rows][experts]
  HEARTH_ADDRESS(FloatsIn) correction;
  HEARTH_ADDRESS(FloatsIn) expert_scales;
  HEARTH_ADDRESS(Floats) routes;
  uint experts;
  uint chosen_groups;
  float scale;
};

/// result [rows][chosen][width] of x [rows][blocks * 32]; both matrices have the rows of one expert after another.
struct ExpertGateUpArguments {
  WeightRef gate;
  WeightRef up;
  HEARTH_ADDRESS(StepRef) step;
  HEARTH_ADDRESS(FloatsIn) x;
  HEARTH_ADDRESS(FloatsIn) routes;
  HEARTH_ADDRESS(FloatsIn) gate_bias;  ///< [experts][width], with kActivationBias
  HEARTH_ADDRESS(FloatsIn) up_bias;
  HEARTH_ADDRESS(Floats) result;
  uint width;
  uint blocks;
  uint padded_rows;
  uint chosen;
  float limit;  ///< 0 is none
  float up_offset;
};

/// result [rows][chosen][width] of x [rows][chosen][blocks * 32], or [rows][blocks * 32] where it is the same for all.
struct ExpertLinearArguments {
  WeightRef weight;
  HEARTH_ADDRESS(StepRef) step;
  HEARTH_ADDRESS(FloatsIn) x;
  HEARTH_ADDRESS(FloatsIn) routes;
  HEARTH_ADDRESS(FloatsIn) bias;  ///< [experts][width]
  HEARTH_ADDRESS(Floats) result;
  uint width;
  uint blocks;
  uint padded_rows;
  uint chosen;
};

struct CombineExpertsArguments {
  HEARTH_ADDRESS(StepRef) step;
  HEARTH_ADDRESS(FloatsIn) source;  ///< [rows][chosen][width]
  HEARTH_ADDRESS(FloatsIn) routes;
  HEARTH_ADDRESS(FloatsIn) shared_rows;
  HEARTH_ADDRESS(Floats) result;
  uint width;
};

#ifdef __cplusplus
}  // namespace hearth::vulkan::shared
#endif
