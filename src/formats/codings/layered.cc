#include <fmt/format.h>

#include <algorithm>

#include "base/divide_up.h"
#include "base/printable.h"
#include "formats/codings/codings.h"
#include "formats/codings/scaled_integers.h"

// A layout that a quantizer of Gemma 3 writes: beside each tensor T its T_scale, and in the file's __metadata__ T's
// scheme.
namespace hearth::codings {
namespace {

constexpr uint64_t kGroup = 128;
constexpr std::string_view kSchemes[] = {"int8_symmetric", "int4_grouped", "int8_asymmetric"};

bool is_scheme(std::string_view text) { return std::ranges::find(kSchemes, text) != std::end(kSchemes); }

struct Expected {
  NumberFormat codes;
  uint64_t scales;
};

Expected expected(std::string_view scheme, uint64_t values) {
  if (scheme == "int8_symmetric") return {NumberFormat::i8, 1};
  if (scheme == "int8_asymmetric") return {NumberFormat::u8, 2};
  return {NumberFormat::i8, divide_up(values, kGroup)};
}

ScaledIntegers coding_of(std::string_view scheme, uint64_t rows, uint64_t columns) {
  ScaledIntegers coding{.codes = {IntegerLayout::signed_bytes, 8, rows, columns},
                        .lowest_code = -128,
                        .highest_code = 127,
                        .group = columns,
                        .scale_order = ScaledIntegers::ScaleOrder::one};
  if (scheme == "int8_asymmetric") {
    coding.codes.layout = IntegerLayout::unsigned_bytes;
    coding.lowest_code = 0;
    coding.highest_code = 255;
    coding.zeros = ScaledIntegers::Zeros::behind_scale;
  } else if (scheme == "int4_grouped") {
    coding.lowest_code = -8;
    coding.highest_code = 7;
    coding.group = kGroup;
    coding.is_flattened = true;
    coding.scale_order = ScaledIntegers::ScaleOrder::by_rows;
  }
  return coding;
}

void join_one(StoredTensors& stored, const std::string& name, const std::string& scheme) {
  const std::string scale_name = name + "_scale";
  const TensorInfo *codes = stored.find(name), *scale = stored.find(scale_name);
  if (codes == nullptr) return;  // the index names other files for it
  if (scale == nullptr) {
    return stored.refuse(name, fmt::format("it is {}, but there is no tensor {}", scheme, printable(scale_name)), {});
  }
  const auto [format, scales] = expected(scheme, values_of(*codes));
  if (codes->format != format || scale->format != NumberFormat::f32 || values_of(*scale) != scales) {
    return stored.refuse(
        name,
        fmt::format("{} has codes in {} and {} scales in f32, and it has {} and {} in {}", scheme, traits(format).name,
                    scales, traits(codes->format).name, values_of(*scale), traits(scale->format).name),
        {scale_name});
  }
  const ScaledIntegers coding = coding_of(scheme, rows_of(*codes), columns_of(*codes));
  const NumberFormat held = held_format(coding, codes->shape.size() < 2);
  auto made = make_scaled_integers(name, coding, {part_of(*codes), part_of(*scale)}, scheme);
  stored.join(name, codes->shape, held, std::move(made), {name, scale_name});
}

}  // namespace

void join_layered(StoredTensors& stored) {
  const bool is_layered = std::ranges::any_of(
      stored.metadata, [&](const auto& entry) { return is_scheme(entry.second) && stored.find(entry.first); });
  if (!is_layered) return;
  for (const std::string& name : stored.before("_scale")) {
    const auto scheme = stored.metadata.find(name);
    if (scheme == stored.metadata.end()) {
      stored.refuse(name, "its file's __metadata__ does not name its scheme", {name + "_scale"});
    } else if (!is_scheme(scheme->second)) {
      stored.refuse(name, fmt::format("hearth does not know its scheme, {}", printable(scheme->second)),
                    {name + "_scale"});
    }
  }
  for (const auto& [name, scheme] : stored.metadata) {
    if (is_scheme(scheme)) join_one(stored, name, scheme);
  }
}

}  // namespace hearth::codings
