#if defined(__x86_64__)

#include "device/cpu/kernels/kernel_table.h"
#include "device/cpu/kernels/simd_avx2.h"

namespace hearth::cpu {
namespace {

struct Isa {
  static constexpr bool kDotProduct = false;
};
constexpr Kernels kKernels = make_kernels<Avx2<Isa>>("avx2");

}  // namespace

const Kernels& avx2_kernels() { return kKernels; }

}  // namespace hearth::cpu

#endif
