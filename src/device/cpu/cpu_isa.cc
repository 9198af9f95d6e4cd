#include "device/cpu/cpu_isa.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <fstream>
#include <string_view>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace hearth::cpu {
namespace {

#if defined(__x86_64__)

struct Registers {
  uint32_t eax = 0, ebx = 0, ecx = 0, edx = 0;
};

Registers cpuid(uint32_t leaf, uint32_t subleaf) {
  Registers r;
  if (__get_cpuid_count(leaf, subleaf, &r.eax, &r.ebx, &r.ecx, &r.edx) == 0) return {};
  return r;
}

/// Which register files the operating system saves (XCR0).
uint64_t saved_state() {
  uint32_t low = 0;
  uint32_t high = 0;
  asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return uint64_t{high} << 32 | low;
}

struct Features {
  bool avx2 = false, avxvnni = false, avx512 = false, avx512vnni = false;
};

/// Bits by Intel's Software Developer's Manual, volume 2, CPUID, and volume 1, 13.3 (XCR0).
Features detect() {
  const Registers base = cpuid(1, 0);
  const Registers extended = cpuid(7, 0);
  const auto bit = [](uint32_t word, unsigned n) { return (word >> n & 1) != 0; };
  Features f;
  if (!bit(base.ecx, 27)) return f;  // OSXSAVE
  const uint64_t saved = saved_state();
  constexpr uint64_t kYmm = 0x06;
  constexpr uint64_t kZmm = 0xe6;
  f.avx2 = (saved & kYmm) == kYmm && bit(base.ecx, 12) && bit(base.ecx, 28) && bit(base.ecx, 29) &&
           bit(extended.ebx, 5);                  // FMA, AVX, F16C, AVX2
  f.avxvnni = f.avx2 && bit(cpuid(7, 1).eax, 4);  // AVX-VNNI
  f.avx512 = f.avx2 && (saved & kZmm) == kZmm && bit(extended.ebx, 16) && bit(extended.ebx, 17) &&
             bit(extended.ebx, 30) && bit(extended.ebx, 31);  // F, DQ, BW, VL
  f.avx512vnni = f.avx512 && bit(extended.ecx, 11);           // VNNI
  return f;
}

#endif

constexpr std::array<std::string_view, 5> kNames = {"generic", "avx2", "avxvnni", "avx512", "avx512vnni"};

}  // namespace

std::vector<const Kernels*> available_kernels() {
  std::vector<const Kernels*> kernels;
#if defined(__x86_64__)
  const Features features = detect();
  if (features.avx512vnni) kernels.push_back(&avx512vnni_kernels());
  if (features.avx512) kernels.push_back(&avx512_kernels());
  if (features.avxvnni) kernels.push_back(&avxvnni_kernels());
  if (features.avx2) kernels.push_back(&avx2_kernels());
#endif
  kernels.push_back(&generic_kernels());
  return kernels;
}

Result<const Kernels*> choose_kernels() {
  const auto available = available_kernels();
  const char* wanted = std::getenv("HEARTH_CPU_ISA");
  if (wanted == nullptr || *wanted == '\0') return available.front();
  for (const Kernels* kernels : available) {
    if (std::string_view(kernels->name) == wanted) return kernels;
  }
  if (std::ranges::find(kNames, wanted) == kNames.end()) {
    return fail(ErrorCode::invalid_argument, fmt::format("HEARTH_CPU_ISA names no instruction set: '{}'", wanted),
                fmt::format("use one of {}", fmt::join(kNames, ", ")));
  }
  return fail(ErrorCode::unsupported, fmt::format("this processor does not have {}", wanted),
              "unset HEARTH_CPU_ISA to use what it has");
}

std::string processor_name() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with("model name")) continue;
    const size_t colon = line.find(": ");
    return colon == std::string::npos ? std::string() : line.substr(colon + 2);
  }
  return {};
}

}  // namespace hearth::cpu
