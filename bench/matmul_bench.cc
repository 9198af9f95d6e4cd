// Speed of the CPU device's matrix products, for each weight format and number of tokens, beside what the machine can
// do: its memory's bandwidth, and the rate of packed dot products out of registers. Weights are random bytes and lie in
// memory far larger than the caches where tokens are few; where they are many, a matrix like a small model's is used.
//
//   matmul_bench [threads]          HEARTH_CPU_ISA chooses the instruction set

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "base/thread_pool.h"
#include "device/cpu/cpu_device.h"
#include "tensor/number_format.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace hearth {
namespace {

constexpr NumberFormat kFormats[] = {NumberFormat::q4_0, NumberFormat::q4_1, NumberFormat::q5_0, NumberFormat::q5_1,
                                     NumberFormat::q8_0, NumberFormat::q4_k, NumberFormat::q5_k, NumberFormat::q6_k,
                                     NumberFormat::f16,  NumberFormat::bf16, NumberFormat::f32};
constexpr uint32_t kTokens[] = {1, 2, 4, 7, 8, 9, 15, 16, 17, 64, 512};
constexpr uint32_t kFew = 17;  // up to here the large matrix is used
constexpr uint32_t kCols = 2048;
constexpr double kLargeBytes = 160e6;
constexpr uint32_t kSmallRows = 4096;

double seconds_now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

#if defined(__x86_64__)
/// Twelve independent chains of 512-bit dot products that stay in registers.
__attribute__((target("avx512f,avx512vnni"))) uint64_t dot_products(uint64_t rounds) {
  __m512i sums[12];
  for (auto& sum : sums) sum = _mm512_set1_epi32(1);
  __m512i ones = _mm512_set1_epi8(1);
  for (uint64_t i = 0; i < rounds; ++i) {
    for (auto& sum : sums) sum = _mm512_dpbusd_epi32(sum, ones, ones);
    asm volatile("" : "+v"(ones));
  }
  __m512i total = sums[0];
  for (const auto& sum : sums) total = _mm512_xor_si512(total, sum);
  uint64_t word;
  std::memcpy(&word, &total, sizeof(word));
  return word;
}
#endif

/// Billions of 8-bit products a second that the dot product instruction makes on all threads; 0 without AVX-512 VNNI.
double measure_peak(uint32_t threads) {
#if defined(__x86_64__)
  if (!__builtin_cpu_supports("avx512vnni")) return 0;
  ThreadPool pool(threads);
  constexpr uint64_t kRounds = 4'000'000;
  double best = 0;
  for (int repeat = 0; repeat < 3; ++repeat) {
    const double start = seconds_now();
    pool.parallel_for(threads, [](size_t, unsigned) {
      const uint64_t result = dot_products(kRounds);
      asm volatile("" : : "r"(result));
    });
    best = std::max(best, threads * kRounds * 12.0 * 64.0 / (seconds_now() - start) * 1e-9);
  }
  return best;
#else
  return 0;
#endif
}

/// Random blocks whose scales are small numbers.
std::vector<std::byte> random_rows(NumberFormat format, uint32_t rows) {
  std::mt19937 random(1);
  std::vector<std::byte> bytes(bytes_of(format, size_t{rows} * kCols));
  for (std::byte& b : bytes) b = static_cast<std::byte>(random());
  const size_t block = traits(format).block_bytes;
  for (size_t i = 0; i < bytes.size(); i += block) {
    for (const size_t high_byte : {size_t{1}, size_t{3}, block - 1}) {
      if (high_byte < block) bytes[i + high_byte] = std::byte{0x1c};
    }
  }
  return bytes;
}

/// Embed, then one product: the embedding is a small part of the time.
class Bench {
 public:
  Bench(Device& device, NumberFormat format, uint32_t rows) : rows_(rows) {
    const auto table = device.declare_matrix({.parts = {{"table", NumberFormat::f16, 16}}, .cols = kCols});
    if (!table || !device.write_rows(*table, 0, 0, random_rows(NumberFormat::f16, 16))) std::abort();
    const auto weight = device.declare_matrix({.parts = {{"weight", format, rows}}, .cols = kCols});
    if (!weight) std::abort();
    constexpr uint32_t kPiece = 256;
    const auto piece = random_rows(format, kPiece);
    for (uint32_t row = 0; row < rows; row += kPiece) {
      if (!device.write_rows(*weight, 0, row, piece)) std::abort();
    }
    bytes_ = static_cast<double>(device.matrix_bytes(*weight));
    Recording recording{
        .tensors = {{"x", Rows::tokens, kCols}, {"y", Rows::tokens, rows}},
        .operations = {Embed{.table = *table, .out = {0}}, Linear{.in = {0}, .weight = *weight, .out = {1}}},
        .logits = {1}};
    auto program = device.compile(recording, {.tokens = 512, .logit_rows = 1, .sequences = 1});
    if (!program) std::abort();
    program_ = std::move(*program);
  }

  double bytes() const { return bytes_; }
  double products(uint32_t tokens) const { return static_cast<double>(rows_) * kCols * tokens; }

  /// The best of some runs.
  double seconds(uint32_t tokens) {
    const std::vector<int32_t> ids(tokens, 3);
    const std::vector<SequenceInput> sequences = {{0, tokens, 0, {}}};
    double best = 1e9;
    const double begin = seconds_now();
    for (int run = 0; run < 5 || (run < 50 && seconds_now() - begin < 0.15); ++run) {
      const double start = seconds_now();
      if (!program_->run({ids, sequences, {}})) std::abort();
      best = std::min(best, seconds_now() - start);
    }
    return best;
  }

 private:
  uint32_t rows_;
  double bytes_ = 0;
  std::unique_ptr<Program> program_;
};

void print_line(const std::string& format, uint32_t tokens, const Bench& bench, double seconds, double bandwidth,
                double peak) {
  const double gigabytes = bench.bytes() / seconds * 1e-9;
  const double products = bench.products(tokens) / seconds * 1e-9;
  printf("%-6s %6u %8.1f GB/s", format.c_str(), tokens, gigabytes);
  printf(tokens <= kFew ? " %5.0f %%" : "        ", 100 * gigabytes / bandwidth);
  printf(" %8.1f GMAC/s", products);
  if (peak > 0) printf(" %5.0f %%", 100 * products / peak);
  printf("\n");
}

int run(uint32_t threads) {
  auto probe = open_cpu_device(threads);
  if (!probe) {
    fprintf(stderr, "matmul_bench: %s\n", to_string(probe.error()).c_str());
    return 1;
  }
  const double bandwidth = (*probe)->measure_bandwidth_gb_per_second();
  const double peak = measure_peak(threads);
  printf("%s: %s; memory %.1f GB/s; dot products %.0f GMAC/s\n", (*probe)->info().name.c_str(),
         (*probe)->info().description.c_str(), bandwidth, peak);
  printf("format tokens  weights read  share        products   share\n");
  for (const NumberFormat format : kFormats) {
    const double row_bytes = static_cast<double>(bytes_of(format, kCols));
    const auto large_rows = static_cast<uint32_t>(kLargeBytes / row_bytes / 256) * 256;
    auto device = open_cpu_device(threads);
    Bench few(**device, format, large_rows);
    Bench many(**device, format, kSmallRows);
    for (const uint32_t tokens : kTokens) {
      Bench& bench = tokens <= kFew ? few : many;
      print_line(std::string(traits(format).name), tokens, bench, bench.seconds(tokens), bandwidth, peak);
    }
  }
  return 0;
}

}  // namespace
}  // namespace hearth

int main(int argc, char** argv) { return hearth::run(argc > 1 ? static_cast<uint32_t>(std::atoi(argv[1])) : 2); }
