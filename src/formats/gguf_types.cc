#include "formats/gguf_types.h"

#include <algorithm>
#include <iterator>

namespace hearth {
namespace {

using enum NumberFormat;

constexpr GgufTensorType kTypes[] = {
    {0, "F32", 1, 4, f32},
    {1, "F16", 1, 2, f16},
    {2, "Q4_0", 32, 18, q4_0},
    {3, "Q4_1", 32, 20, q4_1},
    {6, "Q5_0", 32, 22, q5_0},
    {7, "Q5_1", 32, 24, q5_1},
    {8, "Q8_0", 32, 34, q8_0},
    {9, "Q8_1", 32, 36, std::nullopt},
    {10, "Q2_K", 256, 84, q2_k},
    {11, "Q3_K", 256, 110, q3_k},
    {12, "Q4_K", 256, 144, q4_k},
    {13, "Q5_K", 256, 176, q5_k},
    {14, "Q6_K", 256, 210, q6_k},
    {15, "Q8_K", 256, 292, std::nullopt},
    {16, "IQ2_XXS", 256, 66, iq2_xxs},
    {17, "IQ2_XS", 256, 74, iq2_xs},
    {18, "IQ3_XXS", 256, 98, iq3_xxs},
    {19, "IQ1_S", 256, 50, iq1_s},
    {20, "IQ4_NL", 32, 18, iq4_nl},
    {21, "IQ3_S", 256, 110, iq3_s},
    {22, "IQ2_S", 256, 82, iq2_s},
    {23, "IQ4_XS", 256, 136, iq4_xs},
    {24, "I8", 1, 1, i8},
    {25, "I16", 1, 2, std::nullopt},
    {26, "I32", 1, 4, i32},
    {27, "I64", 1, 8, std::nullopt},
    {28, "F64", 1, 8, std::nullopt},
    {29, "IQ1_M", 256, 56, iq1_m},
    {30, "BF16", 1, 2, bf16},
    {34, "TQ1_0", 256, 54, tq1_0},
    {35, "TQ2_0", 256, 66, tq2_0},
    {39, "MXFP4", 32, 17, mxfp4},
    {40, "NVFP4", 64, 36, std::nullopt},
    {41, "Q1_0", 128, 18, std::nullopt},
};

}  // namespace

const GgufTensorType* find_gguf_tensor_type(uint32_t id) {
  const auto* found = std::ranges::find(kTypes, id, &GgufTensorType::id);
  return found == std::end(kTypes) ? nullptr : found;
}

std::optional<uint32_t> gguf_tensor_type_of(NumberFormat format) {
  const auto* found = std::ranges::find(kTypes, std::optional(format), &GgufTensorType::format);
  return found == std::end(kTypes) ? std::nullopt : std::optional(found->id);
}

}  // namespace hearth
