#if defined(__x86_64__)

#include "device/cpu/kernels/kernel_table.h"
#include "device/cpu/kernels/simd_avx512.h"

namespace hearth::cpu {
namespace {

struct Isa {
  static constexpr bool kDotProduct = false;
};
constexpr Kernels kKernels = make_kernels<Avx512<Isa>>("avx512");

}  // namespace

const Kernels& avx512_kernels() { return kKernels; }

}  // namespace hearth::cpu

#endif
