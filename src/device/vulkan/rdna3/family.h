#pragma once

#include <array>
#include <string_view>

namespace hearth::vulkan {

/// A GPU that RADV's null device compiles for, with the figures that predictions need. Of each compute unit: two SIMDs
/// of 32 lanes, 512 matrix operations and 128 bytes of shared memory a cycle.
struct Family {
  std::string_view name;  ///< RADV_FORCE_FAMILY
  std::string_view product;
  double units;
  double gigahertz;
  double bus_gb_per_second;

  double simd_cycles_per_second() const { return units * 2 * gigahertz * 1e9; }
  double macs_per_second() const { return units * 256 * gigahertz * 1e9; }
  double shared_bytes_per_second() const { return units * 128 * gigahertz * 1e9; }
};

inline constexpr std::array<Family, 2> kFamilies = {{
    {"phoenix", "Radeon 780M", 12, 2.8, 80},    // DDR5-5600; 73 to 87 GB/s were measured of the book's 89.6
    {"gfx1151", "Radeon 8060S", 40, 2.9, 256},  // by the book
}};

}  // namespace hearth::vulkan
