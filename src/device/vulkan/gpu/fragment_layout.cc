#include "device/vulkan/gpu/fragment_layout.h"

#include <array>
#include <bit>
#include <vector>

#include "device/vulkan/shaders/layout.h"

namespace hearth::vulkan {
namespace {

// Kinds of shaders/fragment_layout.glsl.
constexpr uint32_t kInRow = 0, kInClass = 1, kInPosition = 2, kNothing = 3;
constexpr uint32_t kMostBits = 6;  ///< of a lane's or a component's number

/// What the bits of lanes and of components say: each a bit of the place, or 0 where lanes hold the same.
struct PlaceBits {
  std::vector<uint32_t> lane, component;
};

std::optional<PlaceBits> place_bits(uint32_t elements, uint32_t lanes, const LearnedPlaces& learned) {
  if (!std::has_single_bit(lanes) || !std::has_single_bit(learned.components)) return {};
  if (lanes > shared::kMostFragmentLanes || learned.components > shared::kMostFragmentComponents) return {};
  const auto at = [&](uint32_t lane, uint32_t component) {
    return learned.places[lane * shared::kMostFragmentComponents + component];
  };
  PlaceBits bits;
  for (uint32_t bit = 1; bit < lanes; bit *= 2) bits.lane.push_back(at(bit, 0));
  for (uint32_t bit = 1; bit < learned.components; bit *= 2) bits.component.push_back(at(0, bit));
  uint32_t covered = 0;
  for (const auto* half : {&bits.lane, &bits.component}) {
    for (const uint32_t bit : *half) {
      if (bit == 0 && half == &bits.lane) continue;
      if (!std::has_single_bit(bit) || (covered & bit) != 0) return {};
      covered |= bit;
    }
  }
  if (covered != elements - 1) return {};
  for (uint32_t lane = 0; lane < lanes; ++lane) {
    for (uint32_t component = 0; component < learned.components; ++component) {
      uint32_t expected = 0;
      for (size_t b = 0; b < bits.lane.size(); ++b) expected |= (lane >> b & 1) != 0 ? bits.lane[b] : 0;
      for (size_t b = 0; b < bits.component.size(); ++b) expected |= (component >> b & 1) != 0 ? bits.component[b] : 0;
      if (at(lane, component) != expected) return {};
    }
  }
  return bits;
}

uint32_t bit_number(uint32_t bit) { return static_cast<uint32_t>(std::countr_zero(bit)); }

/// Five bits for each bit of a number.
template <class FieldOf>
uint32_t fields(const std::vector<uint32_t>& bits, FieldOf&& field_of) {
  uint32_t all = 0;
  for (uint32_t b = 0; b < kMostBits; ++b) {
    all |= (b < bits.size() && bits[b] != 0 ? field_of(bits[b]) : kNothing << 3) << (5 * b);
  }
  return all;
}

}  // namespace

std::optional<FragmentLayout> fragment_layout(uint32_t m, uint32_t n, uint32_t k, uint32_t lanes,
                                              const LearnedPlaces& a, const LearnedPlaces& b) {
  const auto a_bits = place_bits(m * k, lanes, a), b_bits = place_bits(k * n, lanes, b);
  if (!a_bits || !b_bits) return {};
  FragmentLayout layout = {.m = m, .n = n, .k = k, .x_lanes = lanes};

  // What each bit of k is: where lanes of A have it, a class; where components have it, a position in a block.
  std::array<uint32_t, 32> of_k = {};
  uint32_t class_bits = 0, position_bits = 0;
  std::vector<uint32_t> slot_bits;  // which rows a lane has
  for (const uint32_t bit : a_bits->lane) {
    if (bit != 0 && bit < k) of_k[bit_number(bit)] = kInClass << 3 | class_bits++;
  }
  for (const uint32_t bit : a_bits->component) {
    if (bit < k) of_k[bit_number(bit)] = kInPosition << 3 | position_bits++;
    if (bit >= k) slot_bits.push_back(bit);
  }
  layout.classes = 1U << class_bits;
  layout.slots = 1U << slot_bits.size();
  const auto a_field = [&](uint32_t bit) {
    return bit < k ? of_k[bit_number(bit)] : kInRow << 3 | bit_number(bit / k);
  };
  const auto b_field = [&](uint32_t bit) {
    return bit < n ? kInRow << 3 | bit_number(bit) : of_k[bit_number(bit / n)];
  };
  layout.a_lane = fields(a_bits->lane, a_field);
  layout.a_slot = fields(slot_bits, a_field);
  uint32_t slot = 0;
  layout.a_component = fields(a_bits->component, [&](uint32_t bit) { return bit < k ? a_field(bit) : slot++; });
  layout.b_lane = fields(b_bits->lane, b_field);
  layout.b_component = fields(b_bits->component, b_field);

  const auto note = [&](uint32_t bit, uint32_t place) {
    const uint32_t field = b_field(bit), kind = field >> 3;
    uint32_t& of = kind == kInRow ? layout.of_token : kind == kInClass ? layout.of_class : layout.of_position;
    of |= place << (4 * (field & 7));
  };
  constexpr uint32_t kOfComponent = 8;
  for (uint32_t b = 0; b < b_bits->lane.size(); ++b) {
    if (b_bits->lane[b] != 0) note(b_bits->lane[b], b);
  }
  for (uint32_t b = 0; b < b_bits->component.size(); ++b) note(b_bits->component[b], kOfComponent | b);

  // Lanes that hold the same of B must be its last ones; a piece of eight halves must be whole components of a block.
  for (size_t bit = b_bits->lane.size(); bit > 0 && b_bits->lane[bit - 1] == 0; --bit) layout.x_lanes /= 2;
  const bool whole = layout.x_components() >= 2 && (8 % layout.x_components() == 0 || layout.x_components() % 8 == 0);
  const bool counted = layout.x_lanes * b.components == k * n;
  if (!whole || !counted || 32 / (k / layout.classes) * layout.x_components() < 8) return {};
  return layout;
}

}  // namespace hearth::vulkan
