#pragma once

#include "device/cpu/kernels/attention_kernels.h"
#include "device/cpu/kernels/row_kernels.h"
#include "device/cpu/kernels/state_kernels.h"
#include "device/cpu/kernels/tile_kernels.h"

namespace hearth::cpu {

/// All kernels for the vectors S.
template <class S>
constexpr Kernels make_kernels(const char* name) {
  return {
      .name = name,
      .tiles = tile_kernels<S>(),
      .activate = activate<S>,
      .activate_alone = activate_alone<S>,
      .fill_panels = fill_panels<S>,
      .rms_norm = rms_norm<S>,
      .layer_norm = layer_norm<S>,
      .add_scaled = add_scaled<S>,
      .scale_and_cap = scale_and_cap<S>,
      .rotate = rotate<S>,
      .narrow = narrow<S>,
      .convolve = convolve<S>,
      .update_state = update_state<S>,
      .attend_split = attend_split<S, false>,
      .attend_latent_split = attend_split<S, true>,
      .merge_split = merge_split<S>,
      .finish_row = finish_row<S>,
  };
}

}  // namespace hearth::cpu
