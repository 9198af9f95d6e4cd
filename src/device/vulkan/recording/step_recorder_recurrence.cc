#include <algorithm>
#include <array>

#include "device/vulkan/recording/step_recorder.h"
#include "device/vulkan/shaders/recurrence_layout.h"

// Layers that remember by a state.
namespace hearth::vulkan {

uint32_t StepRecorder::state_values(CacheLayerId layer) const {
  const CacheLayerSpec& spec = c_.cache.spec(layer.index);
  return std::get<State>(spec.kind).values;
}

Result<void> StepRecorder::emit(const CausalConvolution& op) {
  const uint32_t group = c_.cache.group(op.layer.index);
  const shared::CausalConvolutionArguments arguments = {.step = c_.step.header(),
                                                        .runs = c_.step.runs(group),
                                                        .run_numbers = c_.step.run_numbers(group),
                                                        .source = floats(op.in),
                                                        .weight = vector_address(op.weight),
                                                        .bias = vector_address(op.bias),
                                                        .states = c_.cache.layer(op.layer.index).address(),
                                                        .result = floats(op.out),
                                                        .in_width = width(op.in),
                                                        .first = op.first,
                                                        .channels = op.channels,
                                                        .state_first = op.state_first,
                                                        .state_values = state_values(op.layer)};
  constexpr uint32_t kThreads = 128;
  const PipelineKey key = {Shader::causal_convolution, kThreads, {op.kernel, op.gated, op.bias.has_value(), op.silu}};
  const std::array reads = {access(op.in), cache_access(op.layer.index)};
  const std::array writes = {access(op.out), cache_access(op.layer.index)};
  const Groups groups = {rows(op.out), divide_up(op.channels, kThreads)};
  if (auto done = commands_.dispatch(key, arguments, groups, reads, writes); !done) return done;
  return place(op.out).needs_bytes ? quantize(op.out) : Result<void>{};
}

Result<void> StepRecorder::emit(const LinearAttention& op) {
  const shared::LinearAttentionArguments arguments = {.step = c_.step.header(),
                                                      .runs = c_.step.runs(c_.cache.group(op.layer.index)),
                                                      .source = floats(op.in),
                                                      .rates = floats(op.rates),
                                                      .decay_rate = vector_address(op.decay_rate),
                                                      .step_bias = vector_address(op.step_bias),
                                                      .skip = vector_address(op.skip),
                                                      .states = c_.cache.layer(op.layer.index).address(),
                                                      .result = floats(op.out),
                                                      .in_width = width(op.in),
                                                      .q_first = op.q_first,
                                                      .k_first = op.k_first,
                                                      .v_first = op.v_first,
                                                      .rates_width = width(op.rates),
                                                      .a_first = op.a_first,
                                                      .b_first = op.b_first,
                                                      .heads = op.heads,
                                                      .key_heads = op.key_heads,
                                                      .state_first = op.state_first,
                                                      .state_values = state_values(op.layer),
                                                      .least_step = op.least_step};
  // Small workgroups, as a single sequence has few heads.
  constexpr uint32_t kSubgroups = 2;
  const uint32_t lanes = c_.gpu.properties().subgroup_size;
  const uint32_t columns = kSubgroups * lanes / shared::kStateLanes;
  const PipelineKey key = {Shader::linear_attention,
                           kSubgroups * lanes,
                           {op.key_dim, op.value_dim, op.rule == StateRule::gated_delta, op.skip.has_value(),
                            op.key_heads_alternate, op.rates_by_key_head}};
  const std::array reads = {access(op.in), access(op.rates), cache_access(op.layer.index)};
  const std::array writes = {access(op.out), cache_access(op.layer.index)};
  const Groups groups = {std::min(rows(op.out), c_.step.most_runs()), op.heads, divide_up(op.value_dim, columns)};
  if (auto done = commands_.dispatch(key, arguments, groups, reads, writes); !done) return done;
  return place(op.out).needs_bytes ? quantize(op.out) : Result<void>{};
}

Result<void> StepRecorder::emit(const GatedNorm& op) {
  const shared::GatedNormArguments arguments = {.step = c_.step.header(),
                                                .source = floats(op.in),
                                                .gates = floats(op.gates),
                                                .weight = vector_address(op.weight),
                                                .result = floats(op.out),
                                                .width = width(op.out),
                                                .gates_width = width(op.gates),
                                                .first = op.first,
                                                .group = op.group,
                                                .epsilon = op.epsilon};
  constexpr uint32_t kThreads = 128;
  const PipelineKey key = {Shader::gated_norm, kThreads, {op.gate_first, op.weight_for_each_group, is_logits(op.out)}};
  const std::array reads = {access(op.in), access(op.gates)};
  const std::array writes = {access(op.out)};
  const Groups groups = {rows(op.out), width(op.out) / op.group};
  if (auto done = commands_.dispatch(key, arguments, groups, reads, writes); !done) return done;
  return place(op.out).needs_bytes ? quantize(op.out) : Result<void>{};
}

Result<void> StepRecorder::emit(const Gate& op) {
  const shared::GateArguments arguments = {.step = c_.step.header(),
                                           .source = floats(op.in),
                                           .gates = floats(op.gate),
                                           .result = floats(op.out),
                                           .width = width(op.out),
                                           .source_width = width(op.in),
                                           .first = op.first};
  constexpr uint32_t kThreads = 128;
  const PipelineKey key = {
      Shader::gate, kThreads, {width(op.gate) != width(op.out), is_logits(op.out), function_constant(op.activation)}};
  const std::array reads = {access(op.in), access(op.gate)};
  const std::array writes = {access(op.out)};
  const Groups groups = {rows(op.out), divide_up(width(op.out), kThreads)};
  if (auto done = commands_.dispatch(key, arguments, groups, reads, writes); !done) return done;
  return place(op.out).needs_bytes ? quantize(op.out) : Result<void>{};
}

}  // namespace hearth::vulkan
