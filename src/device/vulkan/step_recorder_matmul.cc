#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "device/vulkan/matrix_path.h"
#include "device/vulkan/shaders/layout.h"
#include "device/vulkan/step_recorder.h"

namespace hearth::vulkan {
namespace {

constexpr uint32_t kTileRows = 64;  // of many_tokens.glsl
constexpr uint32_t kManyThreads = 256;

uint32_t tile_tokens(uint32_t rows) { return rows <= 32 ? 32 : 64; }

shared::WeightRef reference(const Slice& slice, const WeightLayout& layout) {
  const VkDeviceAddress at = slice.address();
  return {at, at + layout.extra_offset, at + layout.scales_offset};
}

/// Registers of a lane for one block of weights, ready to be multiplied.
uint32_t registers_of_block(uint32_t encoding) {
  if (encoding == shared::kEncodingF32) return 32;
  return uses_quantized_activations(encoding) ? 8 : 16;
}
constexpr uint32_t kMostBlockRegisters = 64;  // RDNA3 spills beyond

/// Fewer rows at once where many tokens or plain weights would not fit in registers; the workgroup's rows stay the
/// same.
FewTokensTuning for_tokens(FewTokensTuning tuning, uint32_t encoding, uint32_t matrices, uint32_t tokens,
                           uint32_t most_sums, const GpuProperties& gpu) {
  tuning.cluster = std::min(tuning.cluster, gpu.subgroup_size);
  const uint32_t most_threads = std::min(gpu.max_workgroup_threads, 512U);
  const uint32_t block_registers = matrices * registers_of_block(encoding);
  while (tuning.rows > 1 &&
         (matrices * tuning.rows * tokens > most_sums || tuning.rows * block_registers > kMostBlockRegisters)) {
    tuning.rows /= 2;
    if (2 * tuning.subgroups * gpu.subgroup_size <= most_threads) tuning.subgroups *= 2;
  }
  return tuning;
}

/// Rows of each matrix that a workgroup computes.
uint32_t outputs_of(const FewTokensTuning& tuning, uint32_t lanes) {
  return tuning.subgroups / tuning.split * (lanes / tuning.cluster) * tuning.rows;
}

/// The constants that both cooperative-matrix shaders begin with.
std::vector<uint32_t> matrix_constants(const MatrixPlan& plan, uint32_t encoding) {
  const MatrixTuning& t = plan.tuning;
  return {encoding, t.tile_rows,  t.tile_tokens, t.sub_rows,   t.sub_tokens,
          t.depth,  plan.shape.m, plan.shape.n,  plan.shape.k, t.ahead};
}

}  // namespace

StepRecorder::Multiplication StepRecorder::multiplication(const Linear& op) const {
  const bool is_short = width(op.out) < c_.tuning.short_rows;
  return {.in = op.in,
          .out = op.out,
          .matrix = op.weight,
          .bias = op.bias,
          .tuning = is_short ? &c_.tuning.short_linear : &c_.tuning.linear};
}

Result<void> StepRecorder::emit(const Linear& op) {
  if (auto done = multiply(multiplication(op)); !done) return done;
  return place(op.out).needs_bytes ? quantize(op.out) : Result<void>{};
}

Result<void> StepRecorder::emit(const Logits& op) {
  return multiply({.in = op.in,
                   .out = op.out,
                   .matrix = op.head,
                   .scale = op.scale,
                   .softcap = op.softcap,
                   .tuning = &c_.tuning.logits});
}

Result<void> StepRecorder::multiply(const Multiplication& m) {
  for (const WeightRun& run : c_.weights.matrix(m.matrix).runs) {
    if (auto done = multiply_run(m, run); !done) return done;
  }
  return {};
}

shared::LinearArguments StepRecorder::linear_arguments(const Multiplication& m, const WeightRun& run) const {
  const bool bytes = uses_quantized_activations(run.layout.encoding);
  return {.weight = reference(c_.weights.slice(run), run.layout),
          .step = c_.step.header(),
          .x = bytes ? quants(m.in) : floats(m.in),
          .x_pairs = bytes ? pairs(m.in) : 0,
          .bias = m.bias ? c_.weights.vector(*m.bias).address() : 0,
          .result = floats(m.out),
          .rows = run.layout.rows,
          .blocks = run.layout.blocks(),
          .first_row = run.first_row,
          .out_width = width(m.out),
          .scale = m.scale,
          .softcap = m.softcap};
}

uint32_t StepRecorder::linear_flags(const Multiplication& m) const {
  return (m.bias ? shared::kFlagBias : 0) | (m.softcap > 0 ? shared::kFlagSoftcap : 0);
}

Result<void> StepRecorder::multiply_run(const Multiplication& m, const WeightRun& run) {
  const uint32_t encoding = run.layout.encoding;
  const shared::LinearArguments arguments = linear_arguments(m, run);
  const uint32_t flags = linear_flags(m);
  const std::array reads = {access(m.in)};
  // Runs write different columns, so only the first declares the write: no barrier between them.
  const std::array all_writes = {access(m.out)};
  const auto writes = std::span(all_writes).first(run.first_row == 0 ? 1 : 0);
  const uint32_t lanes = c_.gpu.properties().subgroup_size;
  if (!few(m.in)) {
    if (const auto plan = plan_matrix_path(c_.gpu.properties(), c_.tuning, encoding, 1, rows(m.in))) {
      PipelineKey key = {Shader::linear_matrix, plan->tuning.subgroups * lanes, matrix_constants(*plan, encoding)};
      key.constants.insert(key.constants.end(), {flags, is_logits(m.in)});
      return commands_.dispatch(
          key, arguments,
          {divide_up(rows(m.in), plan->tuning.tile_tokens), divide_up(run.layout.rows, plan->tuning.tile_rows)}, reads,
          writes);
    }
    const uint32_t tokens = tile_tokens(rows(m.in));
    const PipelineKey key = {Shader::linear_many, kManyThreads, {encoding, tokens, 0, 0, 0, flags, is_logits(m.in)}};
    return commands_.dispatch(key, arguments, {divide_up(run.layout.rows, kTileRows), divide_up(rows(m.in), tokens)},
                              reads, writes);
  }
  const FewTokensTuning t = for_tokens(*m.tuning, encoding, 1, rows(m.in), c_.tuning.most_sums, c_.gpu.properties());
  const PipelineKey key = {
      Shader::linear_few, t.subgroups * lanes, {encoding, rows(m.in), t.rows, t.split, t.unroll, t.cluster, flags}};
  return commands_.dispatch(key, arguments, {divide_up(run.layout.rows, outputs_of(t, lanes))}, reads, writes);
}

Result<void> StepRecorder::emit(const GateUp& op) {
  const Matrix& matrix = c_.weights.matrix(op.gate_up);
  if (matrix.runs.size() != 2 || matrix.runs[0].layout.rows != matrix.runs[1].layout.rows) {
    return fail(ErrorCode::unsupported, fmt::format("{}: gate and up must be two equal parts of at most 2 GiB",
                                                    matrix.spec.parts.front().name));
  }
  const WeightLayout& layout = matrix.runs[0].layout;
  const bool bytes = uses_quantized_activations(layout.encoding);
  const bool wants_bytes = place(op.out).needs_bytes;
  shared::GateUpArguments arguments = {.gate = reference(c_.weights.slice(matrix.runs[0]), layout),
                                       .up = reference(c_.weights.slice(matrix.runs[1]), layout),
                                       .step = c_.step.header(),
                                       .x = bytes ? quants(op.in) : floats(op.in),
                                       .x_pairs = bytes ? pairs(op.in) : 0,
                                       .result = floats(op.out),
                                       .rows = layout.rows,
                                       .blocks = layout.blocks()};
  const uint32_t activation = op.activation == Activation::silu ? shared::kActivationSilu : shared::kActivationGeluTanh;
  const std::array reads = {access(op.in)};
  const std::array writes = {access(op.out)};
  const uint32_t lanes = c_.gpu.properties().subgroup_size;
  if (!few(op.in)) {
    if (const auto plan = plan_matrix_path(c_.gpu.properties(), c_.tuning, layout.encoding, 2, rows(op.in))) {
      PipelineKey key = {Shader::gate_up_matrix, plan->tuning.subgroups * lanes,
                         matrix_constants(*plan, layout.encoding)};
      key.constants.insert(key.constants.end(), {activation, is_logits(op.in)});
      const Groups groups = {divide_up(rows(op.in), plan->tuning.tile_tokens),
                             divide_up(layout.rows, plan->tuning.tile_rows / 2)};
      if (auto done = commands_.dispatch(key, arguments, groups, reads, writes); !done) return done;
      return wants_bytes ? quantize(op.out) : Result<void>{};
    }
    const uint32_t tokens = tile_tokens(rows(op.in));
    const PipelineKey key = {
        Shader::gate_up_many, kManyThreads, {layout.encoding, tokens, 0, 0, 0, activation, is_logits(op.in)}};
    const Groups groups = {divide_up(layout.rows, kTileRows / 2), divide_up(rows(op.in), tokens)};
    if (auto done = commands_.dispatch(key, arguments, groups, reads, writes); !done) return done;
    return wants_bytes ? quantize(op.out) : Result<void>{};
  }

  const FewTokensTuning t =
      for_tokens(c_.tuning.gate_up, layout.encoding, 2, rows(op.in), c_.tuning.most_sums, c_.gpu.properties());
  const uint32_t outputs = outputs_of(t, lanes);
  // A workgroup quantises whole blocks, and either all consumers read bytes or it leaves them to a pass of their own.
  const bool makes_bytes = wants_bytes && !place(op.out).needs_floats && outputs % 32 == 0;
  if (makes_bytes) {
    arguments.result_quants = quants(op.out);
    arguments.result_pairs = pairs(op.out);
  }
  const PipelineKey key = {
      Shader::gate_up_few,
      t.subgroups * lanes,
      {layout.encoding, rows(op.in), t.rows, t.split, t.unroll, t.cluster, activation, makes_bytes}};
  if (auto done = commands_.dispatch(key, arguments, {divide_up(layout.rows, outputs)}, reads, writes); !done) {
    return done;
  }
  return wants_bytes && !makes_bytes ? quantize(op.out) : Result<void>{};
}

}  // namespace hearth::vulkan
