// layout.h for layers that remember by a state. GLSL includes it behind common.glsl.
#ifdef __cplusplus
#pragma once
#include "device/vulkan/shaders/layout.h"
namespace hearth::vulkan::shared {
#endif

/// Lanes that share a column of a recurrent state.
HEARTH_CONSTANT kStateLanes = 4;

/// What the operation's fields say (device/recurrent_operations.h); states [blocks][state_values].
struct CausalConvolutionArguments {
  HEARTH_ADDRESS(StepRef) step;
  HEARTH_ADDRESS(RunsRef) runs;
  HEARTH_ADDRESS(UintsIn) run_numbers;  ///< [tokens]
  HEARTH_ADDRESS(FloatsIn) source;
  HEARTH_ADDRESS(FloatsIn) weight;
  HEARTH_ADDRESS(FloatsIn) bias;
  HEARTH_ADDRESS(Floats) states;
  HEARTH_ADDRESS(Floats) result;
  uint in_width;
  uint first;
  uint channels;
  uint state_first;
  uint state_values;
};

struct LinearAttentionArguments {
  HEARTH_ADDRESS(StepRef) step;
  HEARTH_ADDRESS(RunsRef) runs;
  HEARTH_ADDRESS(FloatsIn) source;
  HEARTH_ADDRESS(FloatsIn) rates;
  HEARTH_ADDRESS(FloatsIn) decay_rate;
  HEARTH_ADDRESS(FloatsIn) step_bias;
  HEARTH_ADDRESS(FloatsIn) skip;
  HEARTH_ADDRESS(Floats) states;
  HEARTH_ADDRESS(Floats) result;
  uint in_width;
  uint q_first;
  uint k_first;
  uint v_first;
  uint rates_width;
  uint a_first;
  uint b_first;
  uint heads;
  uint key_heads;
  uint state_first;
  uint state_values;
  float least_step;
};

struct GatedNormArguments {
  HEARTH_ADDRESS(StepRef) step;
  HEARTH_ADDRESS(FloatsIn) source;
  HEARTH_ADDRESS(FloatsIn) gates;
  HEARTH_ADDRESS(FloatsIn) weight;
  HEARTH_ADDRESS(Floats) result;
  uint width;
  uint gates_width;
  uint first;
  uint group;
  float epsilon;
};

struct GateArguments {
  HEARTH_ADDRESS(StepRef) step;
  HEARTH_ADDRESS(FloatsIn) source;
  HEARTH_ADDRESS(FloatsIn) gates;  ///< [rows][width], or [rows]
  HEARTH_ADDRESS(Floats) result;
  uint width;
  uint source_width;
  uint first;
};

#ifdef __cplusplus
}  // namespace hearth::vulkan::shared
#endif
