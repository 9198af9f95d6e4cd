#include "device/npu/npu_kernel_check.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <random>

#include "base/printable.h"
#include "tensor/float16.h"

namespace hearth {
namespace {

constexpr int kPlaces = 4096;

/// What one place of C is and may be.
struct Expected {
  double value = 0;
  double tolerance = 0;
};

/// Sums of float32 in any order stay within 2^-16 of the sum of all products' sizes, for the k that there are. Kernels
/// that write bf16 keep their partial sums in it: after each 32 or more of k (mlir-aie's tiles) they lose up to 2^-8 of
/// what they have, and that is about the root of the sum of squares.
Expected expected_at(const NpuKernelSpec& spec, const uint16_t* a, const uint16_t* b, size_t row, size_t column) {
  double sum = 0, sizes = 0, squares = 0;
  for (size_t k = 0; k < spec.k; ++k) {
    const size_t in_b = spec.b_is_transposed ? column * spec.k + k : k * spec.n + column;
    const double product = double{bf16_to_f32(a[row * spec.k + k])} * double{bf16_to_f32(b[in_b])};
    sum += product;
    sizes += std::abs(product);
    squares += product * product;
  }
  const double losses = std::max(8.0, spec.k / 32.0);
  const double of_output = spec.output_is_bf16 ? 0x1p-8 * losses * std::sqrt(squares) : 0;
  return {sum, 0x1p-16 * sizes + of_output};
}

double value_at(const NpuKernelSpec& spec, const std::byte* c, size_t index) {
  if (spec.output_is_bf16) return bf16_to_f32(reinterpret_cast<const uint16_t*>(c)[index]);
  return reinterpret_cast<const float*>(c)[index];
}

void make_up(std::mt19937& random, const NpuBuffer& buffer) {
  std::uniform_real_distribution<float> between(-1.0F, 1.0F);
  auto* const values = reinterpret_cast<uint16_t*>(buffer.data());
  for (size_t i = 0; i < buffer.bytes() / sizeof(uint16_t); ++i) values[i] = f32_to_bf16(between(random));
}

Result<void> compare(const NpuKernelSpec& spec, std::mt19937& random, const NpuBuffer& a, const NpuBuffer& b,
                     const NpuBuffer& c) {
  const auto* const from_a = reinterpret_cast<const uint16_t*>(a.data());
  const auto* const from_b = reinterpret_cast<const uint16_t*>(b.data());
  for (int place = 0; place < kPlaces; ++place) {
    // The last corner first: what is smaller than it should be is wrong there.
    const size_t row = place == 0 ? spec.m - 1 : random() % spec.m;
    const size_t column = place == 0 ? spec.n - 1 : random() % spec.n;
    const Expected expected = expected_at(spec, from_a, from_b, row, column);
    const double is = value_at(spec, c.data(), row * spec.n + column);
    if (std::abs(is - expected.value) <= expected.tolerance) continue;  // false for what is no number
    return fail(
        ErrorCode::corrupt,
        fmt::format("the kernel {} ({}) does not compute what kernels.json says: row {}, column {} of a product "
                    "is {:.6g}, and should be {:.6g}",
                    printable(spec.files.xclbin.native(), 400), name_of(spec), row, column, is, expected.value),
        "see whether its sizes, types and the layout of B are those that it was made for");
  }
  return {};
}

}  // namespace

Result<void> check_npu_kernel(NpuRuntime& runtime, const NpuKernel& kernel, const NpuKernelSpec& spec) {
  using Argument = NpuRuntime::Argument;
  std::mt19937 random(1);
  auto a = runtime.allocate(kernel, Argument::a, spec.a_bytes());
  if (!a) return pass_on(a);
  auto b = runtime.allocate(kernel, Argument::b, spec.b_bytes());
  if (!b) return pass_on(b);
  auto c = runtime.allocate(kernel, Argument::c, spec.c_bytes());
  if (!c) return pass_on(c);
  for (int run = 0; run < 2; ++run) {  // the second finds what is left of the first
    for (const NpuBuffer* buffer : {&*a, &*b}) {
      make_up(random, *buffer);
      if (auto sent = runtime.send(*buffer); !sent) return sent;
    }
    if (auto ran = runtime.run(kernel, *a, *b, *c); !ran) return ran;
    if (auto right = compare(spec, random, *a, *b, *c); !right) return right;
  }
  return {};
}

}  // namespace hearth
