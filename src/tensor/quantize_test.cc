#include "tensor/quantize.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/json.h"
#include "base/testing/source_folder.h"
#include "tensor/finite.h"
#include "tensor/float16.h"
#include "tensor/recode.h"

namespace hearth {
namespace {

const std::string kFolder = source_folder().string() + "/src/tensor/testdata/";

const std::vector<NumberFormat> kBlockFormats = {NumberFormat::q4_0, NumberFormat::q4_1, NumberFormat::q5_0,
                                                 NumberFormat::q5_1, NumberFormat::q8_0, NumberFormat::q4_k,
                                                 NumberFormat::q5_k, NumberFormat::q6_k, NumberFormat::mxfp4};

const std::vector<NumberFormat> kFormatsOfFiles = {
    NumberFormat::q2_k,   NumberFormat::q3_k,  NumberFormat::iq1_s,   NumberFormat::iq1_m, NumberFormat::iq2_xxs,
    NumberFormat::iq2_xs, NumberFormat::iq2_s, NumberFormat::iq3_xxs, NumberFormat::iq3_s, NumberFormat::iq4_nl,
    NumberFormat::iq4_xs, NumberFormat::tq1_0, NumberFormat::tq2_0};

/// Written by testdata/make_goldens.py.
nlohmann::json goldens() {
  auto text = read_whole_file(kFolder + "goldens.json");
  return parse_json(text.value(), "goldens.json").value();
}

template <class T>
std::vector<T> take(const std::string& bytes, size_t& offset, size_t count) {
  std::vector<T> values(count);
  EXPECT_LE(offset + count * sizeof(T), bytes.size());
  std::memcpy(values.data(), bytes.data() + offset, count * sizeof(T));
  offset += count * sizeof(T);
  return values;
}

/// The same numbers as make_goldens.py's pseudo_normal(): independent of any library's generator.
std::vector<float> pseudo_normal(size_t count) {
  uint64_t state = 1;
  std::vector<float> values(count);
  for (float& value : values) {
    int64_t total = 0;
    for (int i = 0; i < 12; ++i) {
      state = state * 6364136223846793005u + 1442695040888963407u;
      total += static_cast<int64_t>(state >> 40);
    }
    value = static_cast<float>(total - (int64_t{6} << 24)) * 0x1p-24f;
  }
  return values;
}

std::vector<float> through(NumberFormat format, const std::vector<float>& values) {
  std::vector<std::byte> bytes(bytes_of(format, values.size()));
  quantize_row(format, values, bytes);
  std::vector<float> back(values.size());
  dequantize_row(format, bytes, back);
  return back;
}

double rms_error(std::span<const float> a, std::span<const float> b) {
  double squares = 0;
  for (size_t i = 0; i < a.size(); ++i) squares += (double{a[i]} - b[i]) * (double{a[i]} - b[i]);
  return std::sqrt(squares / static_cast<double>(a.size()));
}

std::string name_of_format(const testing::TestParamInfo<NumberFormat>& tested) {
  return std::string(traits(tested.param).name);
}

/// Random blocks of a format, and what the Python package gguf decodes them to.
struct DecodedByGguf {
  std::vector<std::byte> encoded;
  std::vector<float> values;
};

DecodedByGguf decoded_by_gguf(NumberFormat format) {
  const std::string name(traits(format).name);
  const std::string bytes = read_whole_file(kFolder + name + ".bin").value();
  const auto golden = goldens()["formats"][name];
  size_t offset = 0;
  DecodedByGguf result;
  result.encoded = take<std::byte>(bytes, offset, golden["encoded_bytes"]);
  result.values = take<float>(bytes, offset, golden["values"]);
  EXPECT_EQ(offset, bytes.size());
  EXPECT_EQ(result.encoded.size(), bytes_of(format, result.values.size()));
  return result;
}

void expect_decoded_as_by_gguf(NumberFormat format) {
  const auto [encoded, expected] = decoded_by_gguf(format);
  // One byte further in memory: blocks may lie anywhere.
  std::vector<std::byte> shifted(encoded.size() + 1);
  std::copy(encoded.begin(), encoded.end(), shifted.begin() + 1);
  std::vector<float> decoded(expected.size());
  dequantize_row(format, std::span(shifted).subspan(1), decoded);
  for (size_t i = 0; i < decoded.size(); ++i) ASSERT_EQ(decoded[i], expected[i]) << "value " << i;
}

/// All of them, those that are no numbers as well.
TEST(EightBitFloats, AreTheNumbersOfMlDtypes) {
  for (const NumberFormat format : {NumberFormat::f8_e4m3, NumberFormat::f8_e5m2, NumberFormat::f8_e8m0}) {
    const auto [encoded, expected] = decoded_by_gguf(format);
    std::vector<float> decoded(expected.size()), held(expected.size());
    dequantize_row(format, encoded, decoded);
    std::vector<std::byte> recoded(bytes_of(held_as(format), expected.size()));
    recode_row(format, encoded, recoded);
    dequantize_row(held_as(format), recoded, held);
    for (size_t i = 0; i < expected.size(); ++i) {
      EXPECT_EQ(std::isnan(decoded[i]), std::isnan(expected[i])) << i;
      EXPECT_EQ(find_non_finite(format, std::span(encoded).subspan(i, 1)).has_value(), !std::isfinite(expected[i]));
      if (std::isnan(expected[i])) continue;
      EXPECT_EQ(decoded[i], expected[i]) << traits(format).name << " " << i;
      EXPECT_EQ(held[i], expected[i]) << traits(format).name << " " << i;
    }
  }
}

class FormatOfFiles : public testing::TestWithParam<NumberFormat> {};

INSTANTIATE_TEST_SUITE_P(All, FormatOfFiles, testing::ValuesIn(kFormatsOfFiles), name_of_format);

TEST_P(FormatOfFiles, DequantizesAsThePythonPackageGguf) { expect_decoded_as_by_gguf(GetParam()); }

/// Of the values that devices hold, beside those that the file has.
TEST_P(FormatOfFiles, IsHeldAsExactlyAsItIsSaid) {
  const NumberFormat held = held_as(GetParam());
  ASSERT_NE(held, GetParam());
  EXPECT_EQ(held_as(held), held);
  const auto [encoded, expected] = decoded_by_gguf(GetParam());
  std::vector<std::byte> recoded(bytes_of(held, expected.size()));
  recode_row(GetParam(), encoded, recoded);
  std::vector<float> is(expected.size());
  dequantize_row(held, recoded, is);

  using enum NumberFormat;
  const auto is_one_of = [&](std::initializer_list<NumberFormat> formats) {
    return std::ranges::find(formats, GetParam()) != formats.end();
  };
  const bool is_exact = is_one_of({q3_k, iq4_nl, tq1_0, tq2_0});
  const bool is_rounded_alone = is_one_of({q2_k, iq2_xs, iq2_s});
  for (size_t block = 0; block < expected.size(); block += 32) {
    const auto should = std::span(expected).subspan(block, 32);
    float largest = 0;
    for (const float value : should) largest = std::max(largest, std::abs(value));
    // What f16 cannot hold as a scale, of blocks at its ends, has no better place.
    if (!is_exact && (largest > 65504.0F || largest < 1e-3F)) continue;
    for (size_t i = 0; i < 32; ++i) {
      const float allowed = is_exact ? 0 : is_rounded_alone ? 1.002F * largest / 254 : std::abs(should[i]) * 0x1p-11F;
      ASSERT_LE(std::abs(is[block + i] - should[i]), allowed) << "value " << block + i << ", " << should[i];
    }
  }
}

TEST_P(FormatOfFiles, NotANumberIsFound) {
  const auto [encoded, expected] = decoded_by_gguf(GetParam());
  EXPECT_FALSE(find_non_finite(GetParam(), encoded));
  // All bits set are a scale that is none, in whatever pieces.
  std::vector<std::byte> bad = encoded;
  const size_t block_bytes = traits(GetParam()).block_bytes;
  std::fill_n(bad.begin() + static_cast<ptrdiff_t>(block_bytes), block_bytes, std::byte{0xff});
  EXPECT_EQ(find_non_finite(GetParam(), bad), 1U);
}

class BlockFormat : public testing::TestWithParam<NumberFormat> {};

INSTANTIATE_TEST_SUITE_P(All, BlockFormat, testing::ValuesIn(kBlockFormats), name_of_format);

TEST_P(BlockFormat, DequantizesAsThePythonPackageGguf) { expect_decoded_as_by_gguf(GetParam()); }

TEST_P(BlockFormat, LosesNoMoreThanGgmlOnNormalNumbers) {
  const auto golden = goldens();
  const auto values = pseudo_normal(golden["pseudo_normal"]["count"]);
  ASSERT_NEAR(std::accumulate(values.begin(), values.end(), 0.0), golden["pseudo_normal"]["sum"].get<double>(), 1e-6);
  const double ggml = golden["ggml_rms_error"][std::string(traits(GetParam()).name)];
  const double ours = rms_error(through(GetParam(), values), values);
  RecordProperty("rms_error_over_ggml", std::to_string(ours / ggml));
  EXPECT_LE(ours, ggml);
}

TEST_P(BlockFormat, EncodingAgainLosesLittleMore) {
  const auto values = pseudo_normal(4096);
  const auto once = through(GetParam(), values);
  EXPECT_LT(rms_error(through(GetParam(), once), once), 0.2 * rms_error(once, values));
}

TEST_P(BlockFormat, ErrorStaysBelowTheObviousScalesStepWhateverTheDistribution) {
  // Levels between zero and the far end; the k formats lose a little more to their 6-bit factors, and e2m1's widest
  // step is a third of its largest number.
  const std::string name(traits(GetParam()).name);
  const double levels = name == "mxfp4" ? 3 : name[1] == '4' ? 7 : name[1] == '5' ? 15 : name[1] == '6' ? 31 : 127;
  std::mt19937 random(7);
  std::normal_distribution<float> normal;
  for (int kind = 0; kind < 5; ++kind) {
    std::vector<float> values(256);
    for (int i = 0; i < 256; ++i) {
      const float x = normal(random);
      values[i] = kind == 0   ? x
                  : kind == 1 ? x * x * x            // heavy tails
                  : kind == 2 ? std::abs(x)          // one-sided
                  : kind == 3 ? 1e-3f * x - 2e-3f    // small, off centre
                              : (i % 37 ? 0.0f : x)  // sparse
          ;
    }
    const auto back = through(GetParam(), values);
    for (size_t part = 0; part < 256; part += 32) {
      const auto in = std::span(values).subspan(part, 32);
      const auto out = std::span(back).subspan(part, 32);
      float largest = 0;
      for (const float value : in) largest = std::max(largest, std::abs(value));
      EXPECT_LE(rms_error(in, out), largest / levels * 0.5) << "distribution " << kind << ", part " << part;
    }
  }
}

TEST_P(BlockFormat, ExtremesStayFiniteAndKeepTheirSign) {
  for (const float value : {0.0f, 1.0f, -1.0f, 3e-5f, -3e-5f, 6e4f, -6e4f, 1e15f, -1e15f}) {
    std::vector<float> values(256, value);
    for (int alone = 0; alone < 2; ++alone) {
      const auto back = through(GetParam(), values);
      for (size_t i = 0; i < values.size(); ++i) {
        ASSERT_TRUE(std::isfinite(back[i])) << value;
        ASSERT_GE(back[i] * values[i], 0) << value;
        if (values[i] == 0 && alone == 0) {
          ASSERT_EQ(back[i], 0);
        }
      }
      if (std::abs(value) <= 6e4f) {
        const float half_step = GetParam() == NumberFormat::mxfp4 ? 0.2f : 0.02f;
        ASSERT_NEAR(back[7], value, std::abs(value) * half_step + 1e-6f);
      }
      std::fill(values.begin(), values.end(), 0.0f);
      values[7] = value;
    }
  }
}

TEST_P(BlockFormat, NotANumberGivesSomeBlockAndNoCrash) {
  std::vector<float> values(256, 1.0f);
  values[3] = std::nanf("");
  values[40] = std::numeric_limits<float>::infinity();
  EXPECT_EQ(through(GetParam(), values).size(), values.size());
}

TEST(PlainFormat, NarrowsAsNumpy) {
  const std::string bytes = read_whole_file(kFolder + "narrowing.bin").value();
  const size_t count = goldens()["narrowing"];
  size_t offset = 0;
  const auto values = take<float>(bytes, offset, count);
  const auto f16 = take<uint16_t>(bytes, offset, count), bf16 = take<uint16_t>(bytes, offset, count);
  ASSERT_EQ(offset, bytes.size());
  std::vector<uint16_t> out(count);
  quantize_row(NumberFormat::f16, values, std::as_writable_bytes(std::span(out)));
  for (size_t i = 0; i < count; ++i) ASSERT_EQ(out[i], f16[i]) << values[i];
  quantize_row(NumberFormat::bf16, values, std::as_writable_bytes(std::span(out)));
  for (size_t i = 0; i < count; ++i) ASSERT_EQ(out[i], bf16[i]) << values[i];
}

TEST(PlainFormat, WhatFitsSurvives) {
  const std::vector<float> values = {0, 1, -2, 3, 127, -128, 0.5f, 96};
  EXPECT_EQ(through(NumberFormat::f32, values), values);
  EXPECT_EQ(through(NumberFormat::f16, values), values);
  EXPECT_EQ(through(NumberFormat::bf16, values), values);
}

TEST(PlainFormat, IntegersRoundToEvenAndSaturate) {
  const std::vector<float> values = {0.5f, 1.5f, -1.5f, 300, -300, 3e9f, -3e9f, std::nanf("")};
  EXPECT_EQ(through(NumberFormat::i8, values), (std::vector<float>{0, 2, -2, 127, -128, 127, -128, 0}));
  EXPECT_EQ(through(NumberFormat::u8, values), (std::vector<float>{0, 2, 0, 255, 0, 255, 0, 0}));
  EXPECT_EQ(through(NumberFormat::i32, values),
            (std::vector<float>{0, 2, -2, 300, -300, 2147483648.0f, -2147483648.0f, 0}));
}

}  // namespace
}  // namespace hearth
