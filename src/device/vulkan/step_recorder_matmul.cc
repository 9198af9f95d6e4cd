#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "device/vulkan/shaders/layout.h"
#include "device/vulkan/step_recorder.h"

namespace hearth::vulkan {
namespace {

uint32_t divide_up(uint32_t a, uint32_t b) { return (a + b - 1) / b; }

constexpr uint32_t kTileRows = 64;  // of many_tokens.glsl
constexpr uint32_t kManyThreads = 256;
constexpr uint32_t kMostSums = 32;  // rows * tokens that a lane holds in registers at once

uint32_t tile_tokens(uint32_t rows) { return rows <= 32 ? 32 : 64; }

shared::WeightRef reference(const Slice& slice, const WeightLayout& layout) {
  const VkDeviceAddress at = slice.address();
  return {at, at + layout.extra_offset, at + layout.scales_offset};
}

/// Fewer rows at once where many tokens would not fit in registers; the workgroup's rows stay the same.
FewTokensTuning for_tokens(FewTokensTuning tuning, uint32_t tokens, uint32_t lanes, uint32_t most_threads) {
  while (tuning.rows > 1 && tuning.rows * tokens > kMostSums) {
    tuning.rows /= 2;
    if (2 * tuning.subgroups * lanes <= std::min(most_threads, 512U)) tuning.subgroups *= 2;
  }
  return tuning;
}

}  // namespace

Result<void> StepRecorder::emit(const Linear& op) {
  const bool is_short = width(op.out) < c_.tuning.short_rows;
  if (auto done = multiply({.in = op.in,
                            .out = op.out,
                            .matrix = op.weight,
                            .bias = op.bias,
                            .tuning = is_short ? &c_.tuning.short_linear : &c_.tuning.linear});
      !done) {
    return done;
  }
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

Result<void> StepRecorder::multiply_run(const Multiplication& m, const WeightRun& run) {
  const uint32_t encoding = run.layout.encoding;
  const bool bytes = uses_quantized_activations(encoding);
  const shared::LinearArguments arguments = {.weight = reference(c_.weights.slice(run), run.layout),
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
  const uint32_t flags = (m.bias ? shared::kFlagBias : 0) | (m.softcap > 0 ? shared::kFlagSoftcap : 0);
  const std::array reads = {access(m.in)};
  // Runs write different columns, so only the first declares the write: no barrier between them.
  const std::array all_writes = {access(m.out)};
  const auto writes = std::span(all_writes).first(run.first_row == 0 ? 1 : 0);
  if (!few(m.in)) {
    const uint32_t tokens = tile_tokens(rows(m.in));
    const PipelineKey key = {Shader::linear_many, kManyThreads, {encoding, tokens, 0, 0, 0, flags, is_logits(m.in)}};
    return commands_.dispatch(key, arguments, {divide_up(run.layout.rows, kTileRows), divide_up(rows(m.in), tokens)},
                              reads, writes);
  }
  const uint32_t lanes = c_.gpu.properties().subgroup_size;
  const FewTokensTuning t = for_tokens(*m.tuning, rows(m.in), lanes, c_.gpu.properties().max_workgroup_threads);
  const PipelineKey key = {
      Shader::linear_few, t.subgroups * lanes, {encoding, rows(m.in), t.rows, t.split, t.unroll, flags}};
  return commands_.dispatch(key, arguments, {divide_up(run.layout.rows, t.subgroups / t.split * t.rows)}, reads,
                            writes);
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
  if (!few(op.in)) {
    const uint32_t tokens = tile_tokens(rows(op.in));
    const PipelineKey key = {
        Shader::gate_up_many, kManyThreads, {layout.encoding, tokens, 0, 0, 0, activation, is_logits(op.in)}};
    const Groups groups = {divide_up(layout.rows, kTileRows / 2), divide_up(rows(op.in), tokens)};
    if (auto done = commands_.dispatch(key, arguments, groups, reads, writes); !done) return done;
    return wants_bytes ? quantize(op.out) : Result<void>{};
  }

  const uint32_t lanes = c_.gpu.properties().subgroup_size;
  const FewTokensTuning t =
      for_tokens(c_.tuning.gate_up, rows(op.in), lanes, c_.gpu.properties().max_workgroup_threads);
  const uint32_t outputs = t.subgroups / t.split * t.rows;
  // A workgroup quantises whole blocks, and either all consumers read bytes or it leaves them to a pass of their own.
  const bool makes_bytes = wants_bytes && !place(op.out).needs_floats && outputs % 32 == 0;
  if (makes_bytes) {
    arguments.result_quants = quants(op.out);
    arguments.result_pairs = pairs(op.out);
  }
  const PipelineKey key = {Shader::gate_up_few,
                           t.subgroups * lanes,
                           {layout.encoding, rows(op.in), t.rows, t.split, t.unroll, activation, makes_bytes}};
  if (auto done = commands_.dispatch(key, arguments, {divide_up(layout.rows, outputs)}, reads, writes); !done) {
    return done;
  }
  return wants_bytes && !makes_bytes ? quantize(op.out) : Result<void>{};
}

}  // namespace hearth::vulkan
