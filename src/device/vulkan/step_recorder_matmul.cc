#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "device/vulkan/few_path.h"
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

/// The constants that both cooperative-matrix shaders begin with.
std::vector<uint32_t> matrix_constants(const MatrixPlan& plan, uint32_t encoding) {
  const MatrixTuning& t = plan.tuning;
  return {encoding, t.tile_rows,  t.tile_tokens, t.sub_rows,   t.sub_tokens,
          t.depth,  plan.shape.m, plan.shape.n,  plan.shape.k, t.buffers};
}

}  // namespace

StepRecorder::Multiplication StepRecorder::multiplication(const Linear& op) const {
  const Tuning& tuning = c_.matmuls.of(shape(op), rows(op.in));
  const bool is_short = width(op.out) < tuning.short_rows;
  return {.in = op.in,
          .out = op.out,
          .matrix = op.weight,
          .tuning = tuning,
          .few = is_short ? tuning.short_linear : tuning.linear,
          .bias = op.bias};
}

Result<void> StepRecorder::emit(const Linear& op) {
  if (auto done = multiply(multiplication(op)); !done) return done;
  return place(op.out).needs_bytes ? quantize(op.out) : Result<void>{};
}

Result<void> StepRecorder::emit(const Logits& op) {
  const Tuning& tuning = c_.matmuls.of(shape(op), rows(op.in));
  return multiply({.in = op.in,
                   .out = op.out,
                   .matrix = op.head,
                   .tuning = tuning,
                   .few = tuning.logits,
                   .scale = op.scale,
                   .softcap = op.softcap});
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

/// Workgroups of a launch that has work for so many: where launches are chained, those that the device holds at once,
/// each of which then does the work of several.
uint32_t StepRecorder::at_once(uint32_t workgroups) const {
  const uint32_t most = c_.tuning.chain_workgroups * std::max(1U, c_.gpu.properties().compute_units);
  return commands_.chains() && most > 0 ? std::min(workgroups, most) : workgroups;
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
  if (rows(m.in) > m.tuning.few_tokens_limit) {
    if (const auto plan =
            plan_matrix_path(c_.gpu.properties(), m.tuning, encoding, 1, rows(m.in), run.layout.blocks())) {
      PipelineKey key = {Shader::linear_matrix, plan->subgroups * lanes, matrix_constants(*plan, encoding)};
      key.constants.insert(key.constants.end(), {flags, is_logits(m.in)});
      return commands_.dispatch(key, arguments,
                                {divide_up(rows(m.in), plan->tuning.tile_tokens),
                                 at_once(divide_up(run.layout.rows, plan->tuning.tile_rows))},
                                reads, writes);
    }
    const uint32_t tokens = tile_tokens(rows(m.in));
    const PipelineKey key = {Shader::linear_many, kManyThreads, {encoding, tokens, 0, 0, 0, flags, is_logits(m.in)}};
    return commands_.dispatch(key, arguments, {divide_up(run.layout.rows, kTileRows), divide_up(rows(m.in), tokens)},
                              reads, writes);
  }
  const uint32_t tokens = workgroup_tokens(m.tuning, rows(m.in));
  const FewPlan plan = plan_few_path(c_.gpu.properties(), m.few, m.tuning.most_sums, encoding, 1, tokens);
  const FewTokensTuning& t = plan.tuning;
  PipelineKey key = {Shader::linear_few, plan.threads, {encoding, tokens, t.rows, t.split, t.unroll, t.cluster, flags}};
  if (m.tuning.batch_invariant != 0) key.constants.insert(key.constants.end(), {true, is_logits(m.in)});
  return commands_.dispatch(key, arguments, {at_once(divide_up(run.layout.rows, plan.outputs)), rows(m.in) / tokens},
                            reads, writes);
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
  const Tuning& tuning = c_.matmuls.of(shape(op), rows(op.in));
  if (rows(op.in) > tuning.few_tokens_limit) {
    if (const auto plan =
            plan_matrix_path(c_.gpu.properties(), tuning, layout.encoding, 2, rows(op.in), layout.blocks())) {
      PipelineKey key = {Shader::gate_up_matrix, plan->subgroups * lanes, matrix_constants(*plan, layout.encoding)};
      key.constants.insert(key.constants.end(), {activation, is_logits(op.in)});
      const Groups groups = {divide_up(rows(op.in), plan->tuning.tile_tokens),
                             at_once(divide_up(layout.rows, plan->tuning.tile_rows / 2))};
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

  const uint32_t tokens = workgroup_tokens(tuning, rows(op.in));
  const FewPlan plan = plan_few_path(c_.gpu.properties(), tuning.gate_up, tuning.most_sums, layout.encoding, 2, tokens);
  const FewTokensTuning& t = plan.tuning;
  // A workgroup quantises whole blocks, and either all consumers read bytes or it leaves them to a pass of their own.
  const bool makes_bytes = wants_bytes && !place(op.out).needs_floats && plan.outputs % 32 == 0;
  if (makes_bytes) {
    arguments.result_quants = quants(op.out);
    arguments.result_pairs = pairs(op.out);
  }
  PipelineKey key = {Shader::gate_up_few,
                     plan.threads,
                     {layout.encoding, tokens, t.rows, t.split, t.unroll, t.cluster, activation, makes_bytes}};
  if (tuning.batch_invariant != 0) key.constants.insert(key.constants.end(), {true, is_logits(op.in)});
  const Groups groups = {at_once(divide_up(layout.rows, plan.outputs)), rows(op.in) / tokens};
  if (auto done = commands_.dispatch(key, arguments, groups, reads, writes); !done) return done;
  return wants_bytes && !makes_bytes ? quantize(op.out) : Result<void>{};
}

}  // namespace hearth::vulkan
