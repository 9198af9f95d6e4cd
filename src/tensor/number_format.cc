#include "tensor/number_format.h"

#include <array>
#include <cassert>

namespace hearth {
namespace {

// In the order of the enumeration.
constexpr std::array<FormatTraits, kNumberFormatCount> kTraits = {{
    {"f32", 1, 4},        {"f16", 1, 2},      {"bf16", 1, 2},       {"i8", 1, 1},        {"u8", 1, 1},
    {"i32", 1, 4},        {"q4_0", 32, 18},   {"q4_1", 32, 20},     {"q5_0", 32, 22},    {"q5_1", 32, 24},
    {"q8_0", 32, 34},     {"q4_k", 256, 144}, {"q5_k", 256, 176},   {"q6_k", 256, 210},  {"mxfp4", 32, 17},
    {"q2_k", 256, 84},    {"q3_k", 256, 110}, {"iq1_s", 256, 50},   {"iq1_m", 256, 56},  {"iq2_xxs", 256, 66},
    {"iq2_xs", 256, 74},  {"iq2_s", 256, 82}, {"iq3_xxs", 256, 98}, {"iq3_s", 256, 110}, {"iq4_nl", 32, 18},
    {"iq4_xs", 256, 136}, {"tq1_0", 256, 54}, {"tq2_0", 256, 66},   {"f8_e4m3", 1, 1},   {"f8_e5m2", 1, 1},
    {"f8_e8m0", 1, 1},
}};
static_assert(static_cast<int>(NumberFormat::f8_e8m0) == kNumberFormatCount - 1);

}  // namespace

const FormatTraits& traits(NumberFormat format) { return kTraits[static_cast<size_t>(format)]; }

size_t bytes_of(NumberFormat format, size_t values) {
  const FormatTraits& t = traits(format);
  assert(values % t.block_values == 0);
  return values / t.block_values * t.block_bytes;
}

}  // namespace hearth
