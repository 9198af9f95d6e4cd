#pragma once

#include "model/decoder_weights.h"
#include "model/tensor_names.h"
#include "model/weight_plan.h"

// What layers that remember by a state have in common.
namespace hearth {

/// The weights of a depthwise convolution of `channels` over `kernel` tokens.
ConvolutionWeights plan_convolution(WeightPlan& plan, const TensorNames& names, uint32_t channels, uint32_t kernel,
                                    uint32_t layer);

/// What steers a state of `heads`; the norm behind it has weights for `norm_groups` of `norm_group` values.
struct StateSizes {
  uint32_t heads = 0;
  uint32_t norm_groups = 1;
  uint32_t norm_group = 0;
};
StateWeights plan_state(WeightPlan& plan, const TensorNames& names, const StateSizes& sizes, uint32_t layer);

}  // namespace hearth
