#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace hearth::vulkan {

/// What instructions ask of a compute unit, for one subgroup. Issue cycles are those of Mesa's compiler for RDNA3
/// (src/amd/compiler/aco_statistics.cpp): one for most vector instructions, two for 64-bit ones, four for 32-bit
/// integer multiplications, 32 for a 16x16x16 matrix product; twice that with 64 lanes where both halves cannot go
/// together.
struct Work {
  double instructions = 0;
  double vector_instructions = 0;
  double vector_cycles = 0;   ///< of the vector unit of a SIMD
  double special_cycles = 0;  ///< of its slower part for exp, rcp, sqrt, which runs beside the former
  double dot_macs = 0;        ///< multiply-adds in v_dot4 and v_wmma
  double float_macs = 0;      ///< in 32-bit floating point
  double shared_bytes = 0;    ///< to and from shared memory
  double loaded_bytes = 0;    ///< from global memory or its caches
  uint32_t dots = 0;          ///< v_dot4 instructions
  uint32_t matrices = 0;      ///< v_wmma instructions

  Work& operator+=(const Work& other);
  Work operator*(double times) const;
};

/// Of one line of RADV's assembly without its leading tab, in LLVM's notation ("v_mov_b32_e32 v1, 0"), or in Mesa's own
/// (" v1: %0:v[1] = v_mov_b32 0") that stands there when LLVM does not know the GPU.
Work work_of(std::string_view instruction, uint32_t lanes);

/// Blocks [first, last] that a backward branch repeats.
struct Loop {
  size_t first = 0, last = 0;

  bool contains(size_t block) const { return first <= block && block <= last; }
  bool contains(const Loop& other) const { return contains(other.first) && contains(other.last) && *this != other; }
  bool operator==(const Loop&) const = default;
};

/// RADV's assembly of a shader as the work of its blocks and the loops over them.
class Assembly {
 public:
  Assembly(std::string_view text, uint32_t lanes);

  const std::vector<Work>& blocks() const { return blocks_; }
  const std::vector<Loop>& loops() const { return loops_; }

  /// Every instruction once.
  Work once() const;

  /// The outermost loop with the most multiply-adds, as the work of one trip and of everything outside, branches taken
  /// together. Loops within it that multiply run `inner_trips` times, others once. All is outside where nothing loops.
  struct Split {
    Work trip, outside;
  };
  Split split(double inner_trips = 1) const;

 private:
  std::vector<Work> blocks_;
  std::vector<Loop> loops_;
};

}  // namespace hearth::vulkan
