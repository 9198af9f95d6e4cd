#include <fmt/format.h>

#include <array>
#include <vector>

#include "device/vulkan/recording/step_recorder.h"
#include "device/vulkan/shaders/expert_layout.h"

// Mixtures of experts, each route by itself: right on every device, without batches of an expert's rows.
namespace hearth::vulkan {
namespace {

constexpr uint32_t kSubgroups = 4;

uint32_t kind_constant(RouterKind kind) {
  switch (kind) {
    case RouterKind::softmax:
      return shared::kRouterSoftmax;
    case RouterKind::sigmoid:
      return shared::kRouterSigmoid;
    case RouterKind::softmax_of_chosen:
      return shared::kRouterSoftmaxOfChosen;
    case RouterKind::sigmoid_of_chosen:
      return shared::kRouterSigmoidOfChosen;
  }
  return shared::kRouterSoftmax;
}

}  // namespace

/// A matrix of experts as shaders read it: rows of one encoding in one slice.
Result<const WeightRun*> StepRecorder::experts_run(MatrixId id) const {
  const Matrix& matrix = c_.weights.matrix(id);
  if (matrix.runs.size() == 1) return &matrix.runs.front();
  return fail(ErrorCode::unsupported,
              fmt::format("{}: experts of several formats, or of more than a slice of memory, are not built for Vulkan",
                          matrix.spec.parts.front().name),
              "use --device cpu");
}

Result<void> StepRecorder::emit(const ChooseExperts& op) {
  const shared::RouteArguments arguments = {.step = c_.step.header(),
                                            .scores = floats(op.scores),
                                            .correction = vector_address(op.correction),
                                            .expert_scales = vector_address(op.expert_scales),
                                            .routes = floats(op.out),
                                            .experts = op.experts,
                                            .chosen_groups = op.chosen_groups,
                                            .scale = op.scale};
  const PipelineKey key = {Shader::route,
                           c_.gpu.properties().subgroup_size,
                           {kind_constant(op.kind), op.chosen, op.groups, op.correction.has_value(), op.normalise,
                            is_logits(op.scores), op.expert_scales.has_value(), op.group_raters}};
  const std::array reads = {access(op.scores)};
  const std::array writes = {access(op.out)};
  return commands_.dispatch(key, arguments, {rows(op.out)}, reads, writes);
}

Result<void> StepRecorder::emit(const ExpertGateUp& op) {
  auto gate = experts_run(op.gate), up = experts_run(op.up);
  if (!gate) return pass_on(gate);
  if (!up) return pass_on(up);
  const WeightLayout& layout = (*gate)->layout;
  if ((*up)->layout.encoding != layout.encoding) {
    return fail(ErrorCode::unsupported, "experts whose gate and up have different formats are not built for Vulkan",
                "use --device cpu");
  }
  const uint32_t expert_width = width(op.out) / op.chosen;
  const shared::ExpertGateUpArguments arguments = {.gate = weight_ref(**gate),
                                                   .up = weight_ref(**up),
                                                   .step = c_.step.header(),
                                                   .x = floats(op.in),
                                                   .routes = floats(op.routes),
                                                   .gate_bias = vector_address(op.gate_bias),
                                                   .up_bias = vector_address(op.up_bias),
                                                   .result = floats(op.out),
                                                   .width = expert_width,
                                                   .blocks = layout.blocks(),
                                                   .padded_rows = layout.padded_rows,
                                                   .chosen = op.chosen,
                                                   .limit = op.limit,
                                                   .up_offset = op.up_offset};
  const uint32_t activation = function_constant(op.activation) | (op.gate_bias ? shared::kActivationBias : 0);
  const PipelineKey key = {Shader::expert_gate_up,
                           kSubgroups * c_.gpu.properties().subgroup_size,
                           {layout.encoding, activation, op.weighs_input, is_logits(op.in)}};
  const std::array reads = {access(op.in), access(op.routes)};
  const std::array writes = {access(op.out)};
  return commands_.dispatch(key, arguments, {rows(op.in) * op.chosen, divide_up(expert_width, kSubgroups)}, reads,
                            writes);
}

Result<void> StepRecorder::emit(const ExpertLinear& op) {
  auto run = experts_run(op.weight);
  if (!run) return pass_on(run);
  const WeightLayout& layout = (*run)->layout;
  const uint32_t expert_width = width(op.out) / op.chosen;
  const shared::ExpertLinearArguments arguments = {.weight = weight_ref(**run),
                                                   .step = c_.step.header(),
                                                   .x = floats(op.in),
                                                   .routes = floats(op.routes),
                                                   .bias = vector_address(op.bias),
                                                   .result = floats(op.out),
                                                   .width = expert_width,
                                                   .blocks = layout.blocks(),
                                                   .padded_rows = layout.padded_rows,
                                                   .chosen = op.chosen};
  const PipelineKey key = {Shader::expert_linear,
                           kSubgroups * c_.gpu.properties().subgroup_size,
                           {layout.encoding, op.bias.has_value(), is_logits(op.in), op.same_input}};
  const std::array reads = {access(op.in), access(op.routes)};
  const std::array writes = {access(op.out)};
  return commands_.dispatch(key, arguments, {rows(op.in) * op.chosen, divide_up(expert_width, kSubgroups)}, reads,
                            writes);
}

Result<void> StepRecorder::emit(const CombineExperts& op) {
  const shared::CombineExpertsArguments arguments = {.step = c_.step.header(),
                                                     .source = floats(op.in),
                                                     .routes = floats(op.routes),
                                                     .shared_rows = op.shared ? floats(*op.shared) : 0,
                                                     .result = floats(op.out),
                                                     .width = width(op.out)};
  constexpr uint32_t kThreads = 128;
  const PipelineKey key = {
      Shader::combine_experts, kThreads, {op.chosen, op.shared.has_value(), op.weighted, is_logits(op.out)}};
  std::vector<Access> reads = {access(op.in), access(op.routes)};
  if (op.shared) reads.push_back(access(*op.shared));
  const std::array writes = {access(op.out)};
  const Groups groups = {rows(op.out), divide_up(width(op.out), kThreads)};
  if (auto done = commands_.dispatch(key, arguments, groups, reads, writes); !done) return done;
  return place(op.out).needs_bytes ? quantize(op.out) : Result<void>{};
}

}  // namespace hearth::vulkan
