#if defined(__x86_64__)

#include "device/cpu/kernels/kernel_table.h"
#include "device/cpu/kernels/simd_avx2.h"

namespace hearth::cpu {
namespace {

struct Isa {
  static constexpr bool kDotProduct = true;
};
constexpr Kernels kKernels = make_kernels<Avx2<Isa>>("avxvnni");

}  // namespace

const Kernels& avxvnni_kernels() { return kKernels; }

}  // namespace hearth::cpu

#endif
