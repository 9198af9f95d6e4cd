#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdlib>
#include <memory>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "device/device.h"
#include "tensor/quantize.h"

// For tests: weights, a recording and steps that run on any device.
namespace hearth::vulkan {

/// Whether a test may be skipped because of this error of opening a device: where a GPU is expected,
/// HEARTH_VULKAN_REQUIRED is set and nothing is skipped.
inline bool may_be_missing(const Error& error) {
  return error.code == ErrorCode::unsupported && std::getenv("HEARTH_VULKAN_REQUIRED") == nullptr;
}

/// A recording with its weights and cache, to be put on several devices.
class TestModel {
 public:
  explicit TestModel(uint32_t seed) : random_(seed) {}

  /// A matrix of random values of about 1 / sqrt(cols), quantised. The parts are stacked.
  MatrixId matrix(const std::vector<std::pair<NumberFormat, uint32_t>>& formats_and_rows, uint32_t cols,
                  MatrixRole role = MatrixRole::stacked) {
    Weights weights = {.spec = {.role = role, .parts = {}, .cols = cols}, .parts = {}};
    for (const auto& [format, rows] : formats_and_rows) {
      weights.spec.parts.push_back({"test", format, rows});
      const auto values = normal(static_cast<size_t>(rows) * cols, 1.0F / std::sqrt(static_cast<float>(cols)));
      std::vector<std::byte> bytes(bytes_of(format, values.size()));
      quantize_row(format, values, bytes);
      weights.parts.push_back(std::move(bytes));
    }
    matrices_.push_back(std::move(weights));
    return MatrixId{static_cast<uint32_t>(matrices_.size() - 1)};
  }

  /// The same for GateUp: two parts.
  MatrixId gate_up_matrix(const std::vector<std::pair<NumberFormat, uint32_t>>& formats_and_rows, uint32_t cols) {
    return matrix(formats_and_rows, cols, MatrixRole::gate_up);
  }

  /// A matrix [values / cols, cols].
  MatrixId matrix_of(const std::vector<float>& values, uint32_t cols, NumberFormat format = NumberFormat::f32) {
    const auto rows = static_cast<uint32_t>(values.size() / cols);
    std::vector<std::byte> bytes(bytes_of(format, values.size()));
    quantize_row(format, values, bytes);
    matrices_.push_back({.spec = {.parts = {{"test", format, rows}}, .cols = cols}, .parts = {std::move(bytes)}});
    return MatrixId{static_cast<uint32_t>(matrices_.size() - 1)};
  }

  /// Other values for a part of a matrix.
  void overwrite(MatrixId matrix, uint32_t part, const std::vector<float>& values) {
    quantize_row(matrices_[matrix.index].spec.parts[part].format, values, matrices_[matrix.index].parts[part]);
  }

  VectorId vector(size_t size, float scale, float mean = 0) {
    auto values = normal(size, scale);
    for (float& value : values) value += mean;
    vectors_.push_back(std::move(values));
    return VectorId{static_cast<uint32_t>(vectors_.size() - 1)};
  }

  TensorId tensor(Rows rows, uint32_t width) {
    recording.tensors.push_back({"tensor" + std::to_string(recording.tensors.size()), rows, width});
    return TensorId{static_cast<uint32_t>(recording.tensors.size() - 1)};
  }

  /// Random input rows: an embedding of random float32 rows.
  TensorId input(uint32_t width, uint32_t rows = 64) {
    const TensorId out = tensor(Rows::tokens, width);
    recording.operations.push_back(
        Embed{.table = matrix({{NumberFormat::f32, rows}}, width), .scale = std::sqrt(float(width)), .out = out});
    return out;
  }

  /// The result to compare: all rows of a tensor.
  void result(TensorId tensor_of_tokens) {
    recording.logits = tensor(Rows::logits, recording.tensors[tensor_of_tokens.index].width);
    recording.operations.push_back(SelectRows{.in = tensor_of_tokens, .out = recording.logits});
  }

  Result<std::unique_ptr<Program>> compile(Device& device, const ProgramLimits& limits,
                                           const CompileOptions& options = {}) const {
    std::vector<MatrixId> matrix_ids;
    std::vector<VectorId> vector_ids;
    for (const Weights& weights : matrices_) {
      auto id = device.declare_matrix(weights.spec);
      if (!id) return std::unexpected(id.error());
      matrix_ids.push_back(*id);
    }
    for (size_t m = 0; m < matrices_.size(); ++m) {
      for (uint32_t part = 0; part < matrices_[m].parts.size(); ++part) {
        if (auto done = write_in_pieces(device, matrix_ids[m], part, matrices_[m]); !done) return pass_on(done);
      }
    }
    for (const auto& values : vectors_) {
      auto id = device.upload_vector("test", values);
      if (!id) return std::unexpected(id.error());
      vector_ids.push_back(*id);
    }
    if (auto made = device.create_cache(cache); !made) return pass_on(made);
    return device.compile(with_ids(matrix_ids, vector_ids), limits, options);
  }

  Recording recording;
  CacheSpec cache;

 private:
  struct Weights {
    MatrixSpec spec;
    std::vector<std::vector<std::byte>> parts;
  };

  std::vector<float> normal(size_t count, float scale) {
    std::normal_distribution<float> distribution(0, scale);
    std::vector<float> values(count);
    for (float& value : values) value = distribution(random_);
    return values;
  }

  /// In pieces of kRowGranularity rows, as loading may do.
  static Result<void> write_in_pieces(Device& device, MatrixId id, uint32_t part, const Weights& weights) {
    const MatrixPart& spec = weights.spec.parts[part];
    const size_t row_bytes = bytes_of(spec.format, weights.spec.cols);
    for (uint32_t row = 0; row < spec.rows; row += Device::kRowGranularity) {
      const uint32_t rows = std::min(Device::kRowGranularity, spec.rows - row);
      const auto bytes = std::span(weights.parts[part]).subspan(row * row_bytes, rows * row_bytes);
      if (auto done = device.write_rows(id, part, row, bytes); !done) return done;
    }
    return {};
  }

  /// The recording with this device's numbers instead of this class's: devices number what they hold.
  Recording with_ids(const std::vector<MatrixId>& m, const std::vector<VectorId>& v) const {
    Recording changed = recording;
    for (Operation& operation : changed.operations) {
      visit_uses(operation,
                 Overloaded{[&](Multiplies use) { use.matrix = m[use.matrix.index]; },
                            [&](MultipliesChosen use) { use.matrix = m[use.matrix.index]; },
                            [&](LooksUp use) { use.table = m[use.table.index]; },
                            [&](NeedsVector use) { use.vector = v[use.vector.index]; },
                            [](OneOf<Reads, Writes, Updates, WritesCache, ReadsCache, UpdatesState> auto) {}});
    }
    return changed;
  }

  std::mt19937 random_;
  std::vector<Weights> matrices_;
  std::vector<std::vector<float>> vectors_;
};

/// Steps over sequences whose blocks are scattered over the cache, the same for every device.
class TestSteps {
 public:
  TestSteps(uint32_t sequences, uint32_t groups, uint32_t blocks_each, uint32_t seed)
      : tables_(sequences), lengths_(sequences, 0), random_(seed) {
    std::vector<int32_t> blocks(static_cast<size_t>(sequences) * blocks_each);
    for (size_t i = 0; i < blocks.size(); ++i) blocks[i] = static_cast<int32_t>(i);
    for (uint32_t g = 0; g < groups; ++g) {
      std::shuffle(blocks.begin(), blocks.end(), random_);
      for (uint32_t s = 0; s < sequences; ++s) {
        tables_[s].emplace_back(blocks.begin() + s * blocks_each, blocks.begin() + (s + 1) * blocks_each);
      }
    }
  }

  /// From now on blocks that lie before all that a step's tokens see are -1, as the engine gives them away. Who reads
  /// one reads far beyond the cache.
  void slide(uint32_t window) { window_ = window; }

  struct Step {
    std::vector<int32_t> token_ids;
    std::vector<std::vector<std::span<const int32_t>>> views;
    std::vector<SequenceInput> sequences;
    std::vector<uint32_t> logit_rows;

    StepInput input() const { return {token_ids, sequences, logit_rows}; }
  };

  /// The next step, of counts[s] tokens for each sequence; logits of all of them.
  Step next(const std::vector<uint32_t>& counts, uint32_t vocabulary) {
    Step step;
    step.views.resize(counts.size());
    for (uint32_t s = 0; s < counts.size(); ++s) {
      if (counts[s] == 0) continue;
      const uint32_t seen_first = window_ > 0 && lengths_[s] + 1 > window_ ? lengths_[s] + 1 - window_ : 0;
      for (auto& table : tables_[s]) {
        std::fill_n(table.begin(), seen_first / kBlockTokens, -1);
        step.views[s].emplace_back(table);
      }
      step.sequences.push_back({static_cast<uint32_t>(step.token_ids.size()), counts[s], lengths_[s], step.views[s]});
      for (uint32_t i = 0; i < counts[s]; ++i) {
        step.logit_rows.push_back(static_cast<uint32_t>(step.token_ids.size()));
        step.token_ids.push_back(static_cast<int32_t>(random_() % vocabulary));
      }
      lengths_[s] += counts[s];
    }
    return step;
  }

 private:
  std::vector<std::vector<std::vector<int32_t>>> tables_;  // [sequence][group][block]
  std::vector<uint32_t> lengths_;
  uint32_t window_ = 0;
  std::mt19937 random_;
};

/// |a - b| / |b| in the Euclidean norm.
inline double relative_error(std::span<const float> a, std::span<const float> b) {
  double difference = 0, size = 0;
  for (size_t i = 0; i < b.size(); ++i) {
    difference += std::pow(static_cast<double>(a[i]) - b[i], 2);
    size += std::pow(static_cast<double>(b[i]), 2);
  }
  return std::sqrt(difference / size);
}

}  // namespace hearth::vulkan
