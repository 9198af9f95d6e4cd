#if defined(__x86_64__)

#include "device/cpu/kernels/kernel_table.h"
#include "device/cpu/kernels/simd_avx512.h"

namespace hearth::cpu {
namespace {

struct Isa {
  static constexpr bool kDotProduct = true;
};
constexpr Kernels kKernels = make_kernels<Avx512<Isa>>("avx512vnni");

}  // namespace

const Kernels& avx512vnni_kernels() { return kKernels; }

}  // namespace hearth::cpu

#endif
