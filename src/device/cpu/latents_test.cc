// Latent attention on the CPU against the reference device.

#include <gtest/gtest.h>

#include <functional>

#include "device/cpu/test_device.h"
#include "device/testing/latent_layer.h"

namespace hearth::cpu {
namespace {

using namespace testing_latents;

class Latents : public testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(Isa, Latents, testing::ValuesIn(isa_names()), isa_name);

/// The cache's f16; weights in blocks meet bytes.
double tolerance(const Shape& shape) { return traits(shape.values).block_values > 1 ? 2e-2 : 2e-3; }

TEST_P(Latents, AreTheReferences) {
  for (const Shape& shape : shapes()) {
    const auto cpu = open_cpu(GetParam(), 2);
    const auto reference = open_reference_device(2);
    Runner is(shape, *cpu), should(shape, *reference);
    ASSERT_EQ(is.error(), "") << shape.name;
    for (const auto& counts : mixed_steps()) {
      ASSERT_LT(relative_error(is.step(counts), should.step(counts)), tolerance(shape)) << shape.name << is.error();
    }
  }
}

/// In one step, in pieces and in company, and behind a prefix that another sequence wrote.
TEST_P(Latents, BitsDependOnNothingButTheText) {
  for (const Shape& shape : shapes()) {
    const auto cpu = open_cpu(GetParam(), 3);
    Runner runner(shape, *cpu);
    ASSERT_EQ(runner.error(), "") << shape.name;
    const std::vector<float> whole = runner.step({70})[0];
    const auto width = static_cast<ptrdiff_t>(whole.size() / 70);
    runner.begin_again(0);
    std::vector<float> pieces;
    for (const std::vector<uint32_t>& counts :
         {std::vector<uint32_t>{1, 3}, {1, 0, 1}, {2, 40, 1}, {17, 1, 1}, {9}, {33, 1, 5}, {7, 1, 1}}) {
      const std::vector<float> rows = runner.step(counts)[0];
      pieces.insert(pieces.end(), rows.begin(), rows.end());
    }
    EXPECT_EQ(pieces, whole) << shape.name;
    runner.share(0, 1, 2);
    EXPECT_EQ(runner.step({1, 38})[1], std::vector<float>(whole.begin() + 32 * width, whole.end())) << shape.name;
  }
}

/// A block that an overflowed request left behind must not reach the next one that gets it.
TEST_P(Latents, WhatLiesBehindAContextIsNeverRead) {
  for (const Shape& shape : shapes()) {
    const auto clean = open_cpu(GetParam(), 2), dirty = open_cpu(GetParam(), 2);
    Runner should(shape, *clean), is(shape, *dirty);
    is.poison();
    ASSERT_EQ(is.error(), "") << shape.name;
    for (const auto& counts : std::vector<std::vector<uint32_t>>{{1}, {4, 15}, {1, 1, 33}, {20, 1, 1}}) {
      EXPECT_EQ(is.step(counts), should.step(counts)) << shape.name;
    }
  }
}

TEST(LatentChecks, RefuseWhatTheKernelsCannotDo) {
  const auto cpu = open_cpu("", 1);
  const auto error = [&](const std::function<void(Shape&)>& change) {
    Shape shape = shapes().front();
    change(shape);
    return Runner(shape, *cpu).error();
  };
  const char* const kMultiples = "the CPU takes multiples of 16";
  EXPECT_NE(error([](Shape& s) { s.latent_dim = 40; }).find(kMultiples), std::string::npos) << "of latents";
  EXPECT_NE(error([](Shape& s) { s.rope_dim = 24; }).find(kMultiples), std::string::npos) << "of rows";
  EXPECT_NE(error([](Shape& s) { s.value_dim = 24; }).find("multiples of"), std::string::npos)
      << "of heads in one tensor";
  EXPECT_EQ(error([](Shape& s) { s.value_dim = 24, s.part_for_each_head = true; }), "");
}

/// The first operation of a kind.
template <class T>
T& first(Recording& recording) {
  const auto is_kind = [](const Operation& operation) { return std::holds_alternative<T>(operation); };
  return std::get<T>(*std::ranges::find_if(recording.operations, is_kind));
}

TEST(LatentChecks, RefuseRecordingsThatDoNotFitTogether) {
  const auto error = [&](const std::function<void(Recording&)>& change) {
    const auto cpu = open_cpu("", 1);
    Layer layer(shapes()[2], *cpu);
    change(layer.recording());
    const auto program = layer.compile(kLimits);
    return program ? std::string() : to_string(program.error());
  };
  const auto latents = [](Recording& r) -> StoreLatents& { return first<StoreLatents>(r); };
  const auto heads = [](Recording& r) -> HeadLinear& { return first<HeadLinear>(r); };
  const auto attention = [](Recording& r) -> LatentAttention& { return first<LatentAttention>(r); };
  const auto has = [](const std::string& text, const char* part) { return text.find(part) != std::string::npos; };
  EXPECT_EQ(error([](Recording&) {}), "");
  EXPECT_TRUE(has(error([&](Recording& r) { latents(r).latent_dim = 48; }), "latents of width"));
  EXPECT_TRUE(has(error([&](Recording& r) { latents(r).nope_dim = 32; }), "queries of width"));
  EXPECT_TRUE(has(error([&](Recording& r) { latents(r).cache_layer = {0}; }), "has no latent rows of 48"));
  EXPECT_TRUE(has(error([&](Recording& r) { latents(r).cache_layer = {2}; }), "has no layer 2"));
  EXPECT_TRUE(has(error([&](Recording& r) { r.ropes[0].inverse_frequencies.resize(9); }), "a rotary embedding"));
  EXPECT_TRUE(has(error([&](Recording& r) { heads(r).fills_shares = true; }), "a head's products of width"));
  EXPECT_TRUE(has(error([&](Recording& r) { heads(r).in = latents(r).latents; }), "a head's values of width"));
  EXPECT_TRUE(has(error([&](Recording& r) { attention(r).value_dim = 16; }), "attention's rows of width"));
  EXPECT_TRUE(has(error([&](Recording& r) { attention(r).width = 32; }), "latent queries of width"));
}

}  // namespace
}  // namespace hearth::cpu
