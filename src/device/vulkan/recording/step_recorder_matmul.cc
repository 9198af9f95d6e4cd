#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <set>

#include "device/operation_uses.h"
#include "device/vulkan/paths/few_path.h"
#include "device/vulkan/recording/step_recorder.h"
#include "device/vulkan/shaders/layout.h"

namespace hearth::vulkan {
namespace {

constexpr uint32_t kTileRows = 64;  // of many_tokens.glsl
constexpr uint32_t kManyThreads = 256;

uint32_t tile_tokens(uint32_t rows) { return rows <= 32 ? 32 : 64; }

uint32_t activation_constant(const GateUp& op) {
  return function_constant(op.activation) | (op.bias ? shared::kActivationBias : 0);
}

/// The constants that both cooperative-matrix shaders begin with.
std::vector<uint32_t> matrix_constants(const MatrixPlan& plan, uint32_t encoding) {
  const MatrixTuning& t = plan.tuning;
  return {encoding, t.tile_rows,  t.tile_tokens, t.sub_rows,   t.sub_tokens,
          t.depth,  plan.shape.m, plan.shape.n,  plan.shape.k, t.buffers};
}

/// Those of the shaders for matrices of a whole workgroup.
std::vector<uint32_t> workgroup_matrix_constants(const WorkgroupMatrixPlan& plan, uint32_t encoding) {
  return {encoding, plan.tile_rows, plan.tile_tokens, plan.depth, plan.whole_rows};
}

/// Those of the shaders that fill matrices in registers.
std::vector<uint32_t> fragment_constants(const FragmentPlan& plan, uint32_t encoding) {
  const FragmentTuning& t = plan.tuning;
  const FragmentLayout& l = plan.layout;
  // Four rows at once in the end are quicker, but for several matrices of 8 tokens (H200).
  const uint32_t width = l.m % 4 == 0 && (l.n >= 16 || plan.token_tiles == 1) ? 4 : 1;
  return {encoding,
          t.strips,
          plan.token_tiles,
          t.teams,
          t.ahead,
          l.m,
          l.n,
          l.k,
          l.classes,
          l.slots,
          l.x_lanes,
          l.a_lane,
          l.a_component,
          l.a_slot,
          width,
          plan.joined,
          plan.pieces_at_once,
          t.shares};
}

/// The shaders of one kind of matmul for many tokens.
struct ManyTokensShaders {
  Shader fragments, workgroup_matrix, decoded_matrix, half_matrix, matrix, many;
};
constexpr ManyTokensShaders kLinearShaders = {Shader::linear_fragments,      Shader::linear_workgroup_matrix,
                                              Shader::linear_decoded_matrix, Shader::linear_half_matrix,
                                              Shader::linear_matrix,         Shader::linear_many};
constexpr ManyTokensShaders kGateUpShaders = {Shader::gate_up_fragments,      Shader::gate_up_workgroup_matrix,
                                              Shader::gate_up_decoded_matrix, Shader::gate_up_half_matrix,
                                              Shader::gate_up_matrix,         Shader::gate_up_many};

}  // namespace

uint32_t function_constant(Activation activation) {
  switch (activation) {
    case Activation::silu:
      return shared::kActivationSilu;
    case Activation::gelu:
      return shared::kActivationGelu;
    case Activation::gelu_tanh:
      return shared::kActivationGeluTanh;
    case Activation::quick_gelu:
      return shared::kActivationQuickGelu;
    case Activation::relu:
      return shared::kActivationRelu;
    case Activation::relu_squared:
      return shared::kActivationReluSquared;
    case Activation::xielu:
      return shared::kActivationXielu;
    case Activation::sigmoid:
      return shared::kActivationSigmoid;
  }
  return shared::kActivationSilu;
}

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

Result<void> StepRecorder::record_input_of(size_t operation) {
  const TensorId in = product_of(c_.recording.operations[operation])->in;
  if (place(in).needs_bytes) {
    if (auto done = quantize(in); !done) return done;
  }
  if (!fragments_of_product(operation) || !has_fragments(operation)) return {};
  return make_fragments(in, c_.matmuls.of(shape(c_.recording.operations[operation]), rows(in)));
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

std::optional<MatrixPlan> StepRecorder::matrix_plan(const Tuning& tuning, const WeightLayout& layout, uint32_t matrices,
                                                    uint32_t tokens) const {
  if (tokens <= tuning.few_tokens_limit) return {};
  return plan_matrix_path(c_.gpu.properties(), tuning, layout, matrices, tokens);
}

StepRecorder::Form StepRecorder::form_for(const Tuning& tuning, const WeightLayout& layout, uint32_t matrices,
                                          uint32_t tokens) const {
  const bool bytes = uses_quantized_activations(layout.encoding);
  if (fragment_plan(tuning, layout, matrices, tokens)) return Form::fragments;
  if (workgroup_matrix_plan(tuning, layout, matrices, tokens)) return bytes ? Form::halved_bytes : Form::split;
  const auto plan = matrix_plan(tuning, layout, matrices, tokens);
  if (bytes) return plan && plan->decoded ? Form::halved_bytes : Form::bytes;
  return plan ? Form::split : Form::floats;
}

StepRecorder::InputForm StepRecorder::input_form(TensorId in, Form form) const {
  if (form == Form::bytes) return {quants(in), pairs(in), access(in)};
  if (form == Form::floats) {
    const WholeBlocks blocks = whole_blocks(in);
    return {blocks.floats, 0, blocks.access};
  }
  const HalvesPlace& halves = form == Form::split ? c_.activations.split() : c_.activations.halved_bytes();
  return {c_.activations.address() + halves.halves, c_.activations.address() + halves.scales, access(halves)};
}

Result<void> StepRecorder::make_form(TensorId in, Form form, const Tuning& tuning) {
  if (form == Form::fragments) return has_fragments(now_) ? Result<void>{} : make_fragments(in, tuning);
  if (form == Form::split) return split(in);
  return form == Form::halved_bytes ? halve_bytes(in) : Result<void>{};
}

Result<void> StepRecorder::make_fragments(TensorId in, const Tuning& tuning) {
  const FragmentLayout l = *fragments_for(c_.gpu.properties(), tuning, rows(in));
  const HalvesPlace& to = c_.activations.halved_bytes();
  const shared::HalveBytesArguments arguments = {.step = c_.step.header(),
                                                 .quants = quants(in),
                                                 .pairs = pairs(in),
                                                 .halves = c_.activations.address() + to.halves,
                                                 .scales = c_.activations.address() + to.scales,
                                                 .width = width(in)};
  const uint32_t lanes = c_.gpu.properties().subgroup_size;
  const uint32_t threads = std::min(256 / lanes, l.n) * lanes;  // no subgroup without a token
  const PipelineKey key = {
      Shader::make_fragments, threads, {is_logits(in), l.n, l.k, l.classes, l.x_lanes, l.b_lane, l.b_component}};
  const uint32_t pieces = fragment_groups(l, width(in) / 32) * l.classes * 32 * l.n / 8;
  const std::array reads = {access(in)};
  const std::array writes = {access(to)};
  const Groups groups = {divide_up(rows(in), l.n), divide_up(pieces, threads * shared::kFragmentPieces)};
  return commands_.dispatch(key, arguments, groups, reads, writes);
}

StepRecorder::MatmulLaunch StepRecorder::many_tokens_launch(const Tuning& tuning, const WeightLayout& layout,
                                                            uint32_t matrices, TensorId in, uint32_t epilogue) const {
  const ManyTokensShaders& shaders = matrices == 2 ? kGateUpShaders : kLinearShaders;
  const uint32_t encoding = layout.encoding, tokens = rows(in);
  MatmulLaunch launch;
  if (const auto fragments = fragment_plan(tuning, layout, matrices, tokens)) {
    launch.key = {shaders.fragments, fragments->threads, fragment_constants(*fragments, encoding)};
    launch.groups = {divide_up(tokens, fragments->tokens), divide_up(layout.rows, fragments->rows),
                     fragments->tuning.shares};
  } else if (const auto plan = workgroup_matrix_plan(tuning, layout, matrices, tokens)) {
    launch.key = {shaders.workgroup_matrix, plan->threads, workgroup_matrix_constants(*plan, encoding)};
    launch.groups = {divide_up(tokens, plan->tile_tokens), divide_up(layout.rows, plan->tile_rows)};
  } else if (const auto tiles = matrix_plan(tuning, layout, matrices, tokens)) {
    const Shader shader = tiles->decoded                     ? shaders.decoded_matrix
                          : uses_split_activations(encoding) ? shaders.half_matrix
                                                             : shaders.matrix;
    launch.key = {shader, tiles->subgroups * c_.gpu.properties().subgroup_size, matrix_constants(*tiles, encoding)};
    launch.groups = {divide_up(tokens, tiles->tuning.tile_tokens),
                     divide_up(layout.rows, tiles->tuning.tile_rows / matrices)};
  } else {
    const uint32_t tile = tile_tokens(tokens);
    launch.key = {shaders.many, kManyThreads, {encoding, tile, 0, 0, 0}};
    launch.groups = {divide_up(layout.rows, kTileRows / matrices), divide_up(tokens, tile)};
  }
  launch.key.constants.insert(launch.key.constants.end(), {epilogue, is_logits(in)});
  return launch;
}

Result<void> StepRecorder::multiply(const Multiplication& m) {
  const auto& runs = c_.weights.matrix(m.matrix).runs;
  std::set<Form> forms;
  for (const WeightRun& run : runs) forms.insert(form_for(m.tuning, run.layout, 1, rows(m.in)));
  if (width(m.in) % 32 != 0) {
    if (auto padded = pad_rows(m.in); !padded) return padded;
  }
  for (const Form form : forms) {
    if (auto made = make_form(m.in, form, m.tuning); !made) return made;
  }
  for (const WeightRun& run : runs) {
    if (auto done = multiply_run(m, run); !done) return done;
  }
  return {};
}

shared::LinearArguments StepRecorder::linear_arguments(const Multiplication& m, const WeightRun& run,
                                                       const InputForm& in) const {
  return {.weight = weight_ref(run),
          .step = c_.step.header(),
          .x = in.x,
          .x_pairs = in.pairs,
          .bias = m.bias ? c_.weights.vector(*m.bias).address() : 0,
          .result = floats(m.out),
          .rows = run.layout.rows,
          .blocks = run.layout.blocks(),
          .first_row = run.first_row,
          .out_width = width(m.out),
          .scale = m.scale,
          .softcap = m.softcap,
          .unit = decoded_unit(run.layout.range),
          .partials = c_.scratch.partials,
          .counters = c_.scratch.counters};
}

uint32_t StepRecorder::linear_flags(const Multiplication& m) const {
  return (m.bias ? shared::kFlagBias : 0) | (m.softcap > 0 ? shared::kFlagSoftcap : 0);
}

void StepRecorder::add_few_order(const Tuning& tuning, const FewTokensTuning& t, TensorId in,
                                 std::vector<uint32_t>& constants) const {
  const bool fixed_order = tuning.batch_invariant != 0, joined = t.joined != 0;
  if (fixed_order || joined) constants.insert(constants.end(), {fixed_order, is_logits(in)});
  if (joined) constants.push_back(true);
}

Result<void> StepRecorder::multiply_run(const Multiplication& m, const WeightRun& run) {
  const uint32_t encoding = run.layout.encoding;
  const InputForm in = input_form(m.in, form_for(m.tuning, run.layout, 1, rows(m.in)));
  const shared::LinearArguments arguments = linear_arguments(m, run, in);
  const uint32_t flags = linear_flags(m);
  const std::array reads = {in.access};
  // Runs write different columns, so only the first declares the write: no barrier between them.
  std::vector<Access> writes;
  if (run.first_row == 0) writes.push_back(access(m.out));
  if (rows(m.in) > m.tuning.few_tokens_limit || fragment_plan(m.tuning, run.layout, 1, rows(m.in))) {
    const MatmulLaunch launch = many_tokens_launch(m.tuning, run.layout, 1, m.in, flags);
    if (launch.groups.z > 1) {
      writes.push_back({c_.scratch.partials, c_.scratch.partials + c_.scratch.partial_bytes});
      writes.push_back(c_.scratch.counter_access());
    }
    return commands_.dispatch(launch.key, arguments, launch.groups, reads, writes);
  }
  const uint32_t tokens = workgroup_tokens(m.tuning, rows(m.in));
  const FewPlan plan = plan_few_path(c_.gpu.properties(), m.few, m.tuning.most_sums, encoding, 1, tokens);
  const FewTokensTuning& t = plan.tuning;
  PipelineKey key = {Shader::linear_few, plan.threads, {encoding, tokens, t.rows, t.split, t.unroll, t.cluster, flags}};
  add_few_order(m.tuning, t, m.in, key.constants);
  return commands_.dispatch(key, arguments, {divide_up(run.layout.rows, plan.outputs), rows(m.in) / tokens}, reads,
                            writes);
}

Result<void> StepRecorder::emit(const GateUp& op) {
  const Matrix& matrix = c_.weights.matrix(op.gate_up);
  if (matrix.runs.size() != 2 || matrix.runs[0].layout.rows != matrix.runs[1].layout.rows) {
    return fail(ErrorCode::unsupported, fmt::format("{}: gate and up must be two equal parts of at most 2 GiB",
                                                    matrix.spec.parts.front().name));
  }
  WeightLayout layout = matrix.runs[0].layout;
  layout.decodable = layout.decodable && matrix.runs[1].layout.decodable;
  const bool wants_bytes = place(op.out).needs_bytes;
  const Tuning& tuning = c_.matmuls.of(shape(op), rows(op.in));
  const Form form = form_for(tuning, layout, 2, rows(op.in));
  if (auto made = make_form(op.in, form, tuning); !made) return made;
  const InputForm in = input_form(op.in, form);
  shared::GateUpArguments arguments = {.gate = weight_ref(matrix.runs[0]),
                                       .up = weight_ref(matrix.runs[1]),
                                       .step = c_.step.header(),
                                       .x = in.x,
                                       .x_pairs = in.pairs,
                                       .result = floats(op.out),
                                       .bias = op.bias ? c_.weights.vector(*op.bias).address() : 0,
                                       .rows = layout.rows,
                                       .blocks = layout.blocks(),
                                       .gate_unit = decoded_unit(matrix.runs[0].layout.range),
                                       .up_unit = decoded_unit(matrix.runs[1].layout.range)};
  const uint32_t activation = activation_constant(op);
  const std::array reads = {in.access};
  const std::array writes = {access(op.out)};
  if (rows(op.in) > tuning.few_tokens_limit || form == Form::fragments) {
    MatmulLaunch launch = many_tokens_launch(tuning, layout, 2, op.in, activation);
    const auto order = fragments_beside();
    if (form == Form::fragments) launch.key.constants.push_back(order.has_value());
    arguments.largest = c_.activations.address() + c_.activations.halved_bytes().largest;
    if (auto done = commands_.dispatch(launch.key, arguments, launch.groups, reads, writes); !done) return done;
    return wants_bytes ? quantize(op.out, order) : Result<void>{};
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
  add_few_order(tuning, t, op.in, key.constants);
  const Groups groups = {divide_up(layout.rows, plan.outputs), rows(op.in) / tokens};
  if (auto done = commands_.dispatch(key, arguments, groups, reads, writes); !done) return done;
  return wants_bytes && !makes_bytes ? quantize(op.out) : Result<void>{};
}

}  // namespace hearth::vulkan
