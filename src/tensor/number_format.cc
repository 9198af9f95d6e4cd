#include "tensor/number_format.h"

#include <array>
#include <cassert>

namespace hearth {
namespace {

// In the order of the enumeration.
constexpr std::array<FormatTraits, kNumberFormatCount> kTraits = {{
    {"f32", 1, 4},
    {"f16", 1, 2},
    {"bf16", 1, 2},
    {"i8", 1, 1},
    {"u8", 1, 1},
    {"i32", 1, 4},
    {"q4_0", 32, 18},
    {"q4_1", 32, 20},
    {"q5_0", 32, 22},
    {"q5_1", 32, 24},
    {"q8_0", 32, 34},
    {"q4_k", 256, 144},
    {"q5_k", 256, 176},
    {"q6_k", 256, 210},
    {"mxfp4", 32, 17},
}};
static_assert(static_cast<int>(NumberFormat::mxfp4) == kNumberFormatCount - 1);

}  // namespace

const FormatTraits& traits(NumberFormat format) { return kTraits[static_cast<size_t>(format)]; }

size_t bytes_of(NumberFormat format, size_t values) {
  const FormatTraits& t = traits(format);
  assert(values % t.block_values == 0);
  return values / t.block_values * t.block_bytes;
}

}  // namespace hearth
