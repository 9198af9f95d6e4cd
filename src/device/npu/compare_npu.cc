#include "device/npu/compare_npu.h"

#include "device/cpu/cpu_device.h"
#include "device/tune_to_end.h"

namespace hearth {
namespace {

constexpr uint32_t kSide = 4096;  // of the attention's output in models of 7B
constexpr uint32_t kTokens = 512;

/// A program of one product.
Result<std::unique_ptr<Program>> make_program(Device& device) {
  auto weights = device.declare_matrix({.parts = {{"weights", NumberFormat::q4_0, kSide}}, .cols = kSide});
  if (!weights) return pass_on(weights);
  // Scale and values of a block, as any bytes of this kind are.
  const std::vector<std::byte> rows(bytes_of(NumberFormat::q4_0, kSide) * kSide, std::byte{0x2c});
  if (auto written = device.write_rows(*weights, 0, 0, rows); !written) return pass_on(written);
  Recording recording;
  recording.tensors = {{"in", Rows::tokens, kSide}, {"out", Rows::tokens, kSide}};
  recording.operations.emplace_back(Linear{.in = {0}, .weight = *weights, .out = {1}});
  recording.has_logits = false;
  recording.inputs = {{0}};
  recording.outputs = {{1}};
  return device.compile(recording, {.tokens = kTokens, .logit_rows = 1, .sequences = 1});
}

}  // namespace

Result<NpuReport> compare_npu(NpuOptions options, uint32_t threads) {
  NpuReport report;
  options.prefer = NpuPreference::speed;
  if (!options.meter) {
    auto meter = npu_meter(options.root, NpuPreference::power);
    if (!meter) {
      report.no_energy = to_string(meter.error());
      meter = npu_meter(options.root, NpuPreference::speed);
    }
    if (!meter) return pass_on(meter);
    options.meter = std::move(*meter);
  }
  auto opened = open_npu_offload(options);
  if (!opened) return pass_on(opened);
  const NpuOffload& offload = **opened;  // lives as long as the device
  report.kernels = offload.kernel_names();
  auto device = open_cpu_device(threads, std::move(*opened));
  if (!device) return pass_on(device);
  auto program = make_program(**device);
  if (!program) return pass_on(program);
  if (auto tuned = tune_to_end(**program); !tuned) return pass_on(tuned);
  if (offload.lost()) return std::unexpected(*offload.lost());
  report.comparisons = offload.comparisons();
  if (!report.comparisons.empty()) return report;
  return fail(ErrorCode::out_of_memory, "the memory for copies of weights does not hold one matrix of 4096 by 4096",
              "memory=MIB behind the NPU's name gives more");
}

}  // namespace hearth
