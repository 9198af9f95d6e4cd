#pragma once

#include <cstdint>
#include <optional>
#include <span>

namespace hearth::vulkan {

/// Which lane of a subgroup holds which element of a cooperative matrix of f16: A of m rows of weights by k values, B
/// of k values by n tokens. Vulkan leaves that to the driver, but a program can load a matrix of its elements' own
/// places and look. Known only where each bit of a lane's and a component's number stands for one bit of a place, as on
/// all devices seen: the fields are what shaders/fragment_layout.glsl makes of it.
struct FragmentLayout {
  uint32_t m = 0, n = 0, k = 0;
  uint32_t classes = 1;  ///< blocks of a row that a matrix has a part of: lanes with the same rows and different values
  uint32_t slots = 1;    ///< rows of A of which a lane has elements
  uint32_t x_lanes = 0;  ///< with different elements of B, the first ones of a subgroup
  uint32_t a_lane = 0, a_component = 0, a_slot = 0, b_lane = 0, b_component = 0;
  /// The other way round, for those who write B's elements (shaders/fragment_order.glsl): which bit of a lane's or a
  /// component's number each bit of a token's, a class's and a position's is.
  uint32_t of_token = 0, of_class = 0, of_position = 0;

  uint32_t x_components() const { return k * n / x_lanes; }  ///< of a lane in B
  bool operator==(const FragmentLayout&) const = default;
};

/// Columns that rows of activations are filled up to, on any device.
constexpr uint32_t kMostFragmentColumns = 512;

/// The elements that lanes hold of a matrix: places[lane * kMostFragmentComponents + component], row by row, as
/// shaders/learn_fragments.comp writes them down.
struct LearnedPlaces {
  uint32_t components = 0;  ///< of a lane
  std::span<const uint32_t> places;
};

/// Nothing where the places are not regular. All sizes are powers of two.
std::optional<FragmentLayout> fragment_layout(uint32_t m, uint32_t n, uint32_t k, uint32_t lanes,
                                              const LearnedPlaces& a, const LearnedPlaces& b);

}  // namespace hearth::vulkan
