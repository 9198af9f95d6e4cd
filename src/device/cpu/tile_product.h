#pragma once

#include <algorithm>
#include <array>

#include "device/cpu/step_context.h"

namespace hearth::cpu {

/// The number of tokens that the next kernel takes when `left` of a panel are left: as even as kernels allow, so that
/// one token more never costs a whole kernel's unpacking.
inline size_t next_tokens(const std::array<TileKernel, kPanelTokens + 1>& kernels, size_t left) {
  size_t largest = left;
  while (kernels[largest] == nullptr) --largest;
  const size_t calls = (left + largest - 1) / largest;
  const size_t even = (left + calls - 1) / calls;
  return kernels[even] != nullptr ? even : largest;
}

/// The panels that weights of an encoding are multiplied with.
inline PanelKind panel_kind(TileEncoding encoding) {
  return tile_layout(encoding).is_integer() ? PanelKind::int8 : PanelKind::floats;
}

/// out[(t - first) * stride + row] for the panels' tokens [first, end) and the 16 rows of one tile.
inline void multiply_tile(const StepContext& step, const PackedPart& part, size_t tile, const Panels& panels,
                          size_t first, size_t end, float* out, size_t stride) {
  const auto& kernels = step.kernels().tiles[static_cast<size_t>(part.encoding)];
  const std::byte* weights = part.tile(static_cast<uint32_t>(tile));
  for (size_t token = first; token < end;) {
    const size_t panel_end = std::min(end, token / panels.width * panels.width + panels.width);
    const size_t count = next_tokens(kernels, panel_end - token);
    kernels[count](weights, part.groups, panels.view(token), out + (token - first) * stride, stride);
    token += count;
  }
}

}  // namespace hearth::cpu
