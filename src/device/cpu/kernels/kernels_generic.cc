#include "device/cpu/kernels/kernel_table.h"
#include "device/cpu/kernels/simd_generic.h"

namespace hearth::cpu {
namespace {

struct Isa {};
constexpr Kernels kKernels = make_kernels<Generic<Isa>>("generic");

}  // namespace

const Kernels& generic_kernels() { return kKernels; }

}  // namespace hearth::cpu
