#include "device/vulkan/rdna3/prediction.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "device/vulkan/pipelines/pipeline_name.h"

namespace hearth::vulkan {
namespace {

/// A program of one matmul, its weights never written.
class MatmulProgram {
 public:
  MatmulProgram(Gpu& gpu, const MatmulCase& matmul) : gpu_(gpu), m_(matmul), weights_(gpu) {}

  Result<RecordingStatistics> record(Pipelines& pipelines, const Tuning& tuning, uint32_t tokens) {
    if (auto declared = declare(); !declared) return pass_on(declared);
    if (auto finished = weights_.finish(); !finished) return pass_on(finished);
    if (auto made = cache_.create(gpu_, {}); !made) return pass_on(made);
    const ProgramLimits limits = {.tokens = tokens, .logit_rows = tokens, .sequences = 1};
    auto program = VulkanProgram::create(gpu_, pipelines, tuning, recording_, weights_, cache_, limits);
    if (!program) return pass_on(program);
    return (*program)->statistics(tokens, tokens);
  }

  uint64_t weight_bytes() const { return weights_.matrix(matrix_).bytes; }

 private:
  Result<void> declare() {
    const bool gate_up = m_.kind == MatmulCase::Kind::gate_up;
    MatrixSpec spec = {.role = gate_up ? MatrixRole::gate_up : MatrixRole::stacked, .parts = {}, .cols = m_.cols};
    for (const uint32_t rows : m_.parts) spec.parts.push_back({m_.name, m_.format, rows});
    const auto matrix = weights_.declare_matrix(spec);
    const auto table = weights_.declare_matrix({.parts = {{m_.name, NumberFormat::f32, 16}}, .cols = m_.cols});
    if (!matrix) return std::unexpected(matrix.error());
    if (!table) return std::unexpected(table.error());
    matrix_ = *matrix;
    const uint32_t all = std::accumulate(m_.parts.begin(), m_.parts.end(), 0U);
    const TensorId in = tensor(Rows::tokens, m_.cols);
    auto& operations = recording_.operations;
    operations.push_back(Embed{.table = *table, .out = in});
    if (m_.kind == MatmulCase::Kind::logits) {
      const TensorId selected = tensor(Rows::logits, m_.cols);
      recording_.logits = tensor(Rows::logits, all);
      operations.push_back(SelectRows{.in = in, .out = selected});
      operations.push_back(Logits{.in = selected, .head = *matrix, .out = recording_.logits});
      return {};
    }
    const TensorId out = tensor(Rows::tokens, gate_up ? all / 2 : all);
    recording_.logits = tensor(Rows::logits, gate_up ? all / 2 : all);
    if (gate_up) {
      operations.push_back(GateUp{.in = in, .gate_up = *matrix, .activation = Activation::gelu_tanh, .out = out});
    } else {
      operations.push_back(Linear{.in = in, .weight = *matrix, .out = out});
    }
    operations.push_back(SelectRows{.in = out, .out = recording_.logits});
    return {};
  }

  TensorId tensor(Rows rows, uint32_t width) {
    recording_.tensors.push_back({m_.name, rows, width});
    return {static_cast<uint32_t>(recording_.tensors.size() - 1)};
  }

  Gpu& gpu_;
  const MatmulCase& m_;
  Weights weights_;
  Cache cache_;
  Recording recording_;
  MatrixId matrix_;
};

double subgroups_of(const Launch& dispatch, uint32_t lanes) {
  return static_cast<double>(dispatch.groups.x) * dispatch.groups.y * dispatch.groups.z * dispatch.key.threads / lanes;
}

bool multiplies_halves(const PipelineKey& key) {
  return key.shader == Shader::linear_half_matrix || key.shader == Shader::gate_up_half_matrix;
}

bool runs_on_matrices(const PipelineKey& key) {
  return multiplies_halves(key) || key.shader == Shader::linear_matrix || key.shader == Shader::gate_up_matrix ||
         key.shader == Shader::linear_decoded_matrix || key.shader == Shader::gate_up_decoded_matrix;
}

/// Multiply-adds for each weight and token: an activation may be a sum of two halves.
double products(const PipelineKey& key) { return multiplies_halves(key) ? 2 : 1; }

/// Trips of the loop over a tile's depth inside the loop over K, where the compiler does not unroll it.
double inner_trips(const PipelineKey& key, uint32_t lanes) {
  if (key.shader == Shader::linear_many || key.shader == Shader::gate_up_many) return multiplies_bytes(key) ? 4 : 8;
  if (!runs_on_matrices(key)) return 1;
  const uint32_t parts = constant_of(key, "TILE_ROWS") / constant_of(key, "SUB_ROWS") *
                         (constant_of(key, "TILE_TOKENS") / constant_of(key, "SUB_TOKENS"));
  return static_cast<double>(constant_of(key, "DEPTH")) * parts / (key.threads / lanes);
}

/// Adds one dispatch of `macs` multiply-adds. Every subgroup is taken to have an equal part of them.
void add(const Compiled& compiled, const Launch& dispatch, double macs, const Family& family, Prediction& sum) {
  const Assembly::Split split = compiled.assembly.split(inner_trips(dispatch.key, compiled.lanes));
  const double subgroups = subgroups_of(dispatch, compiled.lanes);
  const bool dots = multiplies_bytes(dispatch.key) || runs_on_matrices(dispatch.key);
  const double macs_of_trip = dots ? split.trip.dot_macs : split.trip.float_macs;
  const double trips = macs_of_trip > 0 ? std::ceil(macs / subgroups / macs_of_trip) : 0;
  Work work = split.trip * trips;
  work += split.outside;
  const double cycles = std::max(work.vector_cycles, work.special_cycles);
  sum.arithmetic += subgroups * cycles / family.simd_cycles_per_second();
  sum.shared += subgroups * work.shared_bytes / family.shared_bytes_per_second();
  const double resident = std::min(subgroups, compiled.value("Subgroups per SIMD") * 2 * family.units);
  sum.in_flight_bytes = std::max(sum.in_flight_bytes, resident * split.trip.loaded_bytes);
}

}  // namespace

Result<Prediction> predict(Gpu& gpu, Pipelines& pipelines, CompiledPipelines& compiled, const Family& family,
                           const MatmulCase& matmul, uint32_t tokens) {
  MatmulProgram program(gpu, matmul);
  const Tuning tuning = tuning_for(gpu.properties());
  auto recorded = program.record(pipelines, tuning, tokens);
  if (!recorded) return pass_on(recorded);
  if (auto done = compile(gpu, pipelines, recorded->launches, compiled); !done) return pass_on(done);

  std::vector<Launch> matmuls;
  double subgroups = 0;
  for (const Launch& dispatch : recorded->launches) {
    if (!is_matmul(dispatch.key)) continue;
    matmuls.push_back(dispatch);
    subgroups += subgroups_of(dispatch, compiled.at(dispatch.key).lanes);
  }
  const double rows = std::accumulate(matmul.parts.begin(), matmul.parts.end(), 0.0);
  const double macs = rows * matmul.cols * tokens;
  Prediction result;
  result.bus = static_cast<double>(program.weight_bytes()) / (family.bus_gb_per_second * 1e9);
  for (const Launch& dispatch : matmuls) {
    const Compiled& pipeline = compiled.at(dispatch.key);
    const double share = subgroups_of(dispatch, pipeline.lanes) / subgroups;
    const double own_macs = macs * share * products(dispatch.key);
    result.matrix_peak += own_macs / family.macs_per_second();
    add(pipeline, dispatch, own_macs, family, result);
  }
  return result;
}

}  // namespace hearth::vulkan
