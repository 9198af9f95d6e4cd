#pragma once

#include <cstddef>
#include <span>

#include "tensor/number_format.h"

namespace hearth {

/// The meaning of every number format, in plain loops: what the devices' faster code is compared with.
/// A row is `out.size()` (or `values.size()`) numbers, a multiple of the format's block; `bytes` holds exactly
/// bytes_of(format, that many). Thread-safe: nothing is shared.
void dequantize_row(NumberFormat format, std::span<const std::byte> bytes, std::span<float> out);

/// The nearest encoding of `values` that this code knows how to find: blocks of 32 take the scale that minimises the
/// squared error over the choices near the obvious one, the k encodings minimise an error weighted by magnitude, as
/// large weights matter more. Integer formats round and saturate. Not for formats that are in files only (held_as).
/// Values must be finite for the block encodings.
void quantize_row(NumberFormat format, std::span<const float> values, std::span<std::byte> bytes);

}  // namespace hearth
