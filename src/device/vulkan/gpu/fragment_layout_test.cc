// What is made of the places of matrices' elements, for the layouts of devices that were asked; no device is needed.

#include "device/vulkan/gpu/fragment_layout.h"

#include <gtest/gtest.h>

#include <functional>
#include <set>
#include <utility>
#include <vector>

#include "device/vulkan/shaders/layout.h"

namespace hearth::vulkan {
namespace {

using PlaceOf = std::function<uint32_t(uint32_t lane, uint32_t component)>;

std::vector<uint32_t> places(uint32_t lanes, uint32_t components, const PlaceOf& place_of) {
  std::vector<uint32_t> all(size_t{shared::kMostFragmentLanes} * shared::kMostFragmentComponents);
  for (uint32_t lane = 0; lane < lanes; ++lane) {
    for (uint32_t c = 0; c < components; ++c) all[lane * shared::kMostFragmentComponents + c] = place_of(lane, c);
  }
  return all;
}

/// What fragment_layout.glsl makes of the fields.
uint32_t held(uint32_t fields, uint32_t index, uint32_t kind) {
  uint32_t value = 0;
  for (uint32_t b = 0; b < 6; ++b) {
    const uint32_t field = fields >> (5 * b) & 31;
    if (field >> 3 == kind) value |= (index >> b & 1) << (field & 7);
  }
  return value;
}

/// A device's matrices: sizes, components of a lane, and where each element lies.
struct Matrices {
  uint32_t m, n, k, lanes, a_components, b_components;
  PlaceOf a, b;

  std::optional<FragmentLayout> layout() const {
    const auto a_places = places(lanes, a_components, a), b_places = places(lanes, b_components, b);
    return fragment_layout(m, n, k, lanes, {a_components, a_places}, {b_components, b_places});
  }
};

/// A lane has two neighbouring columns and the two eight further on, of two rows.
Matrices nvidia(uint32_t n) {
  const auto value = [](uint32_t lane, uint32_t pair) { return lane % 4 * 2 + pair % 2 + pair / 2 * 8; };
  return {
      16,
      n,
      16,
      32,
      8,
      n / 2,
      [value](uint32_t lane, uint32_t c) { return (lane / 4 + c / 2 % 2 * 8) * 16 + value(lane, c % 2 + c / 4 * 2); },
      [value, n](uint32_t lane, uint32_t c) { return value(lane, c % 4) * n + lane / 4 + c / 4 * 8; }};
}

/// A lane has a row of A, or a column of B, and another one the same.
Matrices rdna3() {
  return {16,
          16,
          16,
          32,
          16,
          16,
          [](uint32_t lane, uint32_t c) { return lane % 16 * 16 + c; },
          [](uint32_t lane, uint32_t c) { return c * 16 + lane % 16; }};
}

/// A lane has a column of A and a row of B.
Matrices lavapipe() {
  return {8,
          8,
          8,
          8,
          8,
          8,
          [](uint32_t lane, uint32_t c) { return c * 8 + lane; },
          [](uint32_t lane, uint32_t c) { return lane * 8 + c; }};
}

/// Every product of a weight and a token's value meets its like: the law that the shaders stand on.
void expect_all_meet(const Matrices& matrices) {
  const auto layout = matrices.layout();
  ASSERT_TRUE(layout);
  // [k] of the hardware as (class, position) that A says, by what lanes hold.
  std::vector<std::pair<uint32_t, uint32_t>> of_k(matrices.k, {99, 99});
  for (uint32_t lane = 0; lane < matrices.lanes; ++lane) {
    for (uint32_t c = 0; c < matrices.a_components; ++c) {
      const uint32_t place = matrices.a(lane, c);
      const uint32_t row = held(layout->a_lane, lane, 0) | held(layout->a_slot, held(layout->a_component, c, 0), 0);
      EXPECT_EQ(row, place / matrices.k);
      const std::pair is = {held(layout->a_lane, lane, 1), held(layout->a_component, c, 2)};
      auto& known = of_k[place % matrices.k];
      if (known.first == 99) known = is;
      EXPECT_EQ(known, is) << "a column is the same value of the same block in all rows";
    }
  }
  EXPECT_EQ(std::set(of_k.begin(), of_k.end()).size(), matrices.k) << "each value of each block once";
  for (uint32_t lane = 0; lane < matrices.lanes; ++lane) {
    for (uint32_t c = 0; c < matrices.b_components; ++c) {
      const uint32_t place = matrices.b(lane, c), of_lane = layout->b_lane, of_component = layout->b_component;
      EXPECT_EQ(held(of_lane, lane, 0) | held(of_component, c, 0), place % matrices.n);
      const std::pair is = {held(of_lane, lane, 1) | held(of_component, c, 1),
                            held(of_lane, lane, 2) | held(of_component, c, 2)};
      EXPECT_EQ(is, of_k[place / matrices.n]);
      EXPECT_EQ(place, matrices.b(lane % layout->x_lanes, c)) << "the first lanes have all";
    }
  }
}

TEST(FragmentLayoutTest, OfDevicesThatWereAsked) {
  for (const Matrices& matrices : {nvidia(16), nvidia(8), rdna3(), lavapipe()}) expect_all_meet(matrices);
  EXPECT_EQ(nvidia(8).layout()->classes, 4U);
  EXPECT_EQ(nvidia(8).layout()->slots, 2U);
  EXPECT_EQ(rdna3().layout()->classes, 1U);
  EXPECT_EQ(rdna3().layout()->x_lanes, 16U);
  EXPECT_EQ(lavapipe().layout()->classes, 8U);
  EXPECT_EQ(lavapipe().layout()->slots, 8U);
}

TEST(FragmentLayoutTest, NothingOfIrregularOnes) {
  Matrices shuffled = nvidia(16);
  shuffled.a = [](uint32_t lane, uint32_t c) { return (lane * 8 + c + 8) % 256; };
  EXPECT_FALSE(shuffled.layout());
  Matrices swapped = nvidia(16);  // two elements of 256
  swapped.b = [b = swapped.b](uint32_t lane, uint32_t c) { return lane == 31 && c >= 6 ? b(lane, c ^ 1) : b(lane, c); };
  EXPECT_FALSE(swapped.layout());
  Matrices twice = lavapipe();
  twice.a = [](uint32_t lane, uint32_t c) { return c % 4 * 8 + lane; };
  EXPECT_FALSE(twice.layout());
  Matrices odd = lavapipe();
  odd.a_components = 7;
  EXPECT_FALSE(odd.layout());
}

}  // namespace
}  // namespace hearth::vulkan
