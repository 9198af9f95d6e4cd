#include "device/vulkan/recording/step_recorder.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "device/operation_uses.h"
#include "device/vulkan/shaders/layout.h"

namespace hearth::vulkan {

Result<void> StepRecorder::record(size_t first, size_t end) {
  const auto& operations = c_.recording.operations;
  for (size_t i = first; i < end; ++i) {
    now_ = i;
    commands_.begin_operation(static_cast<uint32_t>(i));
    const uint32_t rows = rows_of(c_.recording, operations[i]) == Rows::logits ? bucket_.logit_rows : bucket_.tokens;
    if (rows == 0) continue;
    auto recorded = std::visit([&](const auto& op) { return emit(op); }, operations[i]);
    if (!recorded) return recorded;
  }
  return {};
}

Result<void> StepRecorder::record_inputs() {
  for (const TensorId input : c_.recording.inputs) {
    if (rows(input) == 0 || !place(input).needs_bytes) continue;
    if (auto done = quantize(input); !done) return done;
  }
  return {};
}

shared::WeightRef StepRecorder::weight_ref(const WeightRun& run) const {
  const VkDeviceAddress at = c_.weights.slice(run).address();
  return {at, at + run.layout.extra_offset, at + run.layout.scales_offset};
}

Access StepRecorder::cache_access(uint32_t layer) const {
  const Slice& slice = c_.cache.layer(layer);
  return {slice.address(), slice.address() + slice.bytes};
}

Result<void> StepRecorder::quantize(TensorId tensor, const std::optional<FragmentLayout>& order) {
  const HalvesPlace& to = c_.activations.halved_bytes();
  const VkDeviceAddress arena = c_.activations.address();
  const shared::QuantizeArguments arguments = {.step = c_.step.header(),
                                               .source = floats(tensor),
                                               .quants = quants(tensor),
                                               .pairs = pairs(tensor),
                                               .fragments = arena + to.halves,
                                               .scales = arena + to.scales,
                                               .largest = arena + to.largest,
                                               .width = width(tensor)};
  constexpr uint32_t kThreads = 128;
  PipelineKey key = {Shader::quantize, kThreads, {is_logits(tensor)}};
  if (order) add_order(*order, key.constants);
  const std::array touched = {access(tensor), access(to)};
  const auto used = std::span(touched).first(order ? 2 : 1);
  return commands_.dispatch(key, arguments, {rows(tensor), divide_up(width(tensor) / 4, kThreads)}, used, used);
}

StepRecorder::WholeBlocks StepRecorder::whole_blocks(TensorId tensor) const {
  if (width(tensor) % 32 == 0) return {floats(tensor), width(tensor), access(tensor)};
  const VkDeviceAddress arena = c_.activations.address();
  const PaddedPlace& padded = c_.activations.padded();
  return {arena + padded.floats, divide_up(width(tensor), 32) * 32, {arena + padded.floats, arena + padded.end}};
}

Result<void> StepRecorder::pad_rows(TensorId tensor) {
  const WholeBlocks to = whole_blocks(tensor);
  const shared::PadRowsArguments arguments = {.step = c_.step.header(),
                                              .source = floats(tensor),
                                              .result = to.floats,
                                              .width = width(tensor),
                                              .padded_width = to.width};
  constexpr uint32_t kThreads = 128;
  const PipelineKey key = {Shader::pad_rows, kThreads, {is_logits(tensor)}};
  const std::array reads = {access(tensor)};
  const std::array writes = {to.access};
  return commands_.dispatch(key, arguments, {rows(tensor), divide_up(to.width, kThreads)}, reads, writes);
}

Result<void> StepRecorder::split(TensorId tensor) {
  const HalvesPlace& to = c_.activations.split();
  const WholeBlocks from = whole_blocks(tensor);
  const shared::SplitFloatsArguments arguments = {.step = c_.step.header(),
                                                  .source = from.floats,
                                                  .halves = c_.activations.address() + to.halves,
                                                  .scales = c_.activations.address() + to.scales,
                                                  .width = from.width};
  constexpr uint32_t kThreads = 256;
  const PipelineKey key = {Shader::split_floats, kThreads, {is_logits(tensor)}};
  const std::array reads = {from.access};
  const std::array writes = {access(to)};
  return commands_.dispatch(key, arguments, {rows(tensor)}, reads, writes);
}

Result<void> StepRecorder::halve_bytes(TensorId tensor) {
  const HalvesPlace& to = c_.activations.halved_bytes();
  const shared::HalveBytesArguments arguments = {.step = c_.step.header(),
                                                 .quants = quants(tensor),
                                                 .pairs = pairs(tensor),
                                                 .halves = c_.activations.address() + to.halves,
                                                 .scales = c_.activations.address() + to.scales,
                                                 .width = width(tensor)};
  constexpr uint32_t kThreads = 256;
  const PipelineKey key = {Shader::halve_bytes, kThreads, {is_logits(tensor)}};
  const std::array reads = {access(tensor)};
  const std::array writes = {access(to)};
  return commands_.dispatch(key, arguments, {rows(tensor)}, reads, writes);
}

Result<void> StepRecorder::emit(const Embed& op) {
  const Matrix& table = c_.weights.matrix(op.table);
  if (width(op.out) % 32 != 0) {
    return fail(ErrorCode::unsupported,
                fmt::format("an embedding of {} values; the Vulkan device takes multiples of 32", width(op.out)));
  }
  for (const WeightRun& run : table.runs) {
    const shared::EmbedArguments arguments = {.table = weight_ref(run),
                                              .step = c_.step.header(),
                                              .token_ids = c_.step.token_ids(),
                                              .best = c_.candidates.best,
                                              .result = floats(op.out),
                                              .first_row = run.first_row,
                                              .rows = run.layout.rows,
                                              .width = width(op.out),
                                              .scale = op.scale};
    const PipelineKey key = {Shader::embed, 128, {run.layout.encoding}};
    // Each run writes rows of its own tokens, so runs need no barrier between them: only the first declares the write.
    const std::array reads = {Access{c_.candidates.best, c_.candidates.best + c_.candidates.best_bytes}};
    const std::array writes = {access(op.out)};
    const size_t declared = &run == &table.runs.front() ? 1 : 0;
    if (auto done = commands_.dispatch(key, arguments, {rows(op.out)}, reads, std::span(writes).first(declared));
        !done) {
      return done;
    }
  }
  return place(op.out).needs_bytes ? quantize(op.out) : Result<void>{};
}

Result<void> StepRecorder::emit(const AddNorm& op) {
  const uint32_t row_width = op.part > 0 ? op.part : width(op.residual), parts = width(op.residual) / row_width;
  const uint32_t quads = row_width / 4;
  const uint32_t granularity = op.out && place(*op.out).needs_bytes ? 32 : 4;
  if (row_width % granularity != 0) {
    return fail(ErrorCode::unsupported,
                fmt::format("a norm over {} values; the Vulkan device takes multiples of {}", row_width, granularity),
                "use --device cpu");
  }
  const uint32_t lanes = c_.gpu.properties().subgroup_size;
  const uint32_t most_threads = std::min(c_.tuning.norm_threads, c_.gpu.properties().max_workgroup_threads);
  const uint32_t per_thread = divide_up(quads, most_threads);
  const uint32_t threads = divide_up(divide_up(quads, per_thread), lanes) * lanes;
  const bool wants_bytes = op.out && place(*op.out).needs_bytes;
  const auto order = fragments_beside();
  const HalvesPlace& halves = c_.activations.halved_bytes();
  const VkDeviceAddress arena = c_.activations.address();
  const shared::AddNormArguments arguments = {.step = c_.step.header(),
                                              .residual = floats(op.residual),
                                              .branch = op.branch ? floats(*op.branch) : 0,
                                              .post_norm = vector_address(op.post_norm),
                                              .norm = vector_address(op.norm),
                                              .norm_bias = vector_address(op.norm_bias),
                                              .result = op.out ? floats(*op.out) : 0,
                                              .result_quants = wants_bytes ? quants(*op.out) : 0,
                                              .result_pairs = wants_bytes ? pairs(*op.out) : 0,
                                              .fragments = arena + halves.halves,
                                              .scales = arena + halves.scales,
                                              .largest = arena + halves.largest,
                                              .width = row_width,
                                              .branch_scale = op.branch_scale,
                                              .epsilon = op.epsilon,
                                              .residual_scale = op.residual_scale,
                                              .parts = parts,
                                              .power = order ? power_of_norm(op) : 1.0F};
  PipelineKey key = {Shader::add_norm,
                     threads,
                     {per_thread, op.branch.has_value(), op.post_norm.has_value(), op.norm.has_value(),
                      op.out && place(*op.out).needs_floats, wants_bytes, is_logits(op.residual),
                      op.kind == NormKind::layer, op.norm_bias.has_value(), parts > 1, op.residual_scale != 1}};
  if (order) add_order(*order, key.constants);
  std::vector<Access> reads = {access(op.residual)};
  std::vector<Access> writes;
  if (op.branch) {
    reads.push_back(access(*op.branch));
    writes.push_back(access(op.residual));
  }
  if (op.norm) writes.push_back(access(*op.out));
  if (order) writes.push_back(access(halves));
  if (auto done = commands_.dispatch(key, arguments, {rows(op.residual) * parts}, reads, writes); !done) return done;
  // Where no norm stands before a part, that reads the residual itself.
  return op.branch && place(op.residual).needs_bytes ? quantize(op.residual) : Result<void>{};
}

Result<void> StepRecorder::emit(const Activate& op) {
  const shared::ActivateArguments arguments = {.step = c_.step.header(),
                                               .source = floats(op.in),
                                               .result = floats(op.out),
                                               .width = width(op.in),
                                               .xielu_positive = op.xielu.positive,
                                               .xielu_negative = op.xielu.negative,
                                               .xielu_linear = op.xielu.linear,
                                               .xielu_bound = op.xielu.bound};
  constexpr uint32_t kThreads = 128;
  const PipelineKey key = {Shader::activate, kThreads, {function_constant(op.activation), is_logits(op.in)}};
  const std::array reads = {access(op.in)};
  const std::array writes = {access(op.out)};
  const Groups groups = {rows(op.out), divide_up(width(op.in), kThreads)};
  if (auto done = commands_.dispatch(key, arguments, groups, reads, writes); !done) return done;
  return place(op.out).needs_bytes ? quantize(op.out) : Result<void>{};
}

Result<void> StepRecorder::emit(const SelectRows& op) {
  const shared::SelectRowsArguments arguments = {.step = c_.step.header(),
                                                 .rows = c_.step.logit_rows(),
                                                 .source = floats(op.in),
                                                 .result = floats(op.out),
                                                 .width = width(op.in)};
  const std::array reads = {access(op.in)};
  const std::array writes = {access(op.out)};
  constexpr uint32_t kThreads = 128;
  const PipelineKey key = {Shader::select_rows, kThreads, {}};
  const Groups groups = {rows(op.out), divide_up(width(op.in), kThreads)};
  if (auto done = commands_.dispatch(key, arguments, groups, reads, writes); !done) return done;
  return place(op.out).needs_bytes ? quantize(op.out) : Result<void>{};
}

}  // namespace hearth::vulkan
