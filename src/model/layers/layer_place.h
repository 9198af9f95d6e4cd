#pragma once

#include <cstdint>

namespace hearth {

/// Where in a decoder a layer stands.
struct LayerPlace {
  uint32_t hidden = 0;  ///< width of the residual
  uint32_t layer = 0;
};

}  // namespace hearth
