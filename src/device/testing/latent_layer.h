#pragma once

#include <algorithm>
#include <cmath>
#include <memory>
#include <numeric>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "device/device.h"
#include "tensor/quantize.h"

// For tests: latent attention on any device, and steps over several sequences.
namespace hearth::testing_latents {

struct Shape {
  std::string name;
  uint32_t heads = 0, nope_dim = 0, rope_dim = 0, value_dim = 0, latent_dim = 0;
  NumberFormat keys = NumberFormat::bf16, values = NumberFormat::bf16;
  bool part_for_each_head = false;
  bool interleaved = true;
  uint32_t turned_percent = 100;  ///< of rope_dim

  uint32_t row_width() const { return latent_dim + rope_dim; }
  uint32_t result_width() const { return heads * value_dim; }
};

/// DeepSeek's and GLM 4.7 Flash's widths, those of the goldens, and what is a multiple of little.
inline const std::vector<Shape>& shapes() {
  static const std::vector<Shape> kShapes = {
      {.name = "deepseek", .heads = 8, .nope_dim = 128, .rope_dim = 64, .value_dim = 128, .latent_dim = 512},
      {.name = "glm_flash", .heads = 5, .nope_dim = 192, .rope_dim = 64, .value_dim = 256, .latent_dim = 512},
      {.name = "small",
       .heads = 4,
       .nope_dim = 24,
       .rope_dim = 16,
       .value_dim = 32,
       .latent_dim = 32,
       .part_for_each_head = true},
      {.name = "blocks",
       .heads = 6,
       .nope_dim = 64,
       .rope_dim = 32,
       .value_dim = 64,
       .latent_dim = 256,
       .keys = NumberFormat::q8_0,
       .values = NumberFormat::q4_k},
      {.name = "odd",
       .heads = 3,
       .nope_dim = 40,
       .rope_dim = 48,
       .value_dim = 80,
       .latent_dim = 112,
       .keys = NumberFormat::f16,
       .values = NumberFormat::f32,
       .part_for_each_head = true,
       .interleaved = false,
       .turned_percent = 50}};
  return kShapes;
}

inline constexpr uint32_t kSequences = 3;
inline constexpr uint32_t kBlocksEach = 20;
inline constexpr uint32_t kVocabulary = 64;
/// A token whose rows are no numbers.
inline constexpr int32_t kPoison = kVocabulary;

/// Rows of queries and latents of each token, at random, stored and attended. Every device gets the same numbers.
class Layer {
 public:
  Layer(const Shape& shape, Device& device) : s_(shape), device_(device) {
    constexpr uint32_t kBlocks = kSequences * kBlocksEach;
    made_ = device.create_cache(
        {.layers = {{.group = 0, .kind = LatentRows{16}}, {.group = 1, .kind = LatentRows{s_.row_width()}}},
         .blocks_per_group = {kBlocks, kBlocks}});
    RopeSpec rope = {.magnitude = 1.1F, .interleaved = s_.interleaved};
    const uint32_t pairs = s_.rope_dim * s_.turned_percent / 200;
    for (uint32_t i = 0; i < pairs; ++i) {
      rope.inverse_frequencies.push_back(static_cast<float>(std::pow(10000.0, -1.0 * i / pairs)));
    }
    recording_.ropes = {rope};
    const TensorId q = input("q", s_.heads * (s_.nope_dim + s_.rope_dim)), latents = input("latents", s_.row_width());
    const TensorId query = tensor("latent_query", s_.heads * s_.row_width());
    const TensorId attended = tensor("attended", s_.heads * s_.latent_dim), out = tensor("out", s_.result_width());
    auto& operations = recording_.operations;
    operations.push_back(StoreLatents{.query = q,
                                      .latents = latents,
                                      .heads = s_.heads,
                                      .nope_dim = s_.nope_dim,
                                      .rope_dim = s_.rope_dim,
                                      .latent_dim = s_.latent_dim,
                                      .norm = vector(s_.latent_dim),
                                      .rope = RopeId{0},
                                      .cache_layer = {1},
                                      .out = query});
    operations.push_back(HeadLinear{.in = q,
                                    .weight = heads(s_.keys, s_.latent_dim, s_.nope_dim),
                                    .heads = s_.heads,
                                    .fills_shares = false,
                                    .out = query});
    operations.push_back(LatentAttention{.query = query,
                                         .heads = s_.heads,
                                         .width = s_.row_width(),
                                         .value_dim = s_.latent_dim,
                                         .scale = 1 / std::sqrt(static_cast<float>(s_.nope_dim + s_.rope_dim)),
                                         .cache_layer = {1},
                                         .out = attended});
    operations.push_back(HeadLinear{
        .in = attended, .weight = heads(s_.values, s_.value_dim, s_.latent_dim), .heads = s_.heads, .out = out});
    recording_.logits = {static_cast<uint32_t>(recording_.tensors.size())};
    recording_.tensors.push_back({"result", Rows::logits, s_.result_width()});
    operations.push_back(SelectRows{.in = out, .out = recording_.logits});
  }

  Recording& recording() { return recording_; }

  Result<std::unique_ptr<Program>> compile(const ProgramLimits& limits) const {
    if (!made_) return std::unexpected(made_.error());
    return device_.compile(recording_, limits);
  }

 private:
  TensorId tensor(const char* name, uint32_t width) {
    recording_.tensors.push_back({name, Rows::tokens, width});
    return {static_cast<uint32_t>(recording_.tensors.size() - 1)};
  }

  /// Random rows of any width, where it must be by way of embeddings of 32 values.
  TensorId input(const char* name, uint32_t width) {
    const uint32_t embedded_width = width % 32 == 0 ? width : 32;
    const TensorId embedded = tensor(name, embedded_width);
    std::vector<float> table = normal(size_t{kVocabulary + 1} * embedded_width, 0.1F);
    std::fill(table.end() - embedded_width, table.end(), 3e38F);
    recording_.operations.push_back(
        Embed{.table = matrix(MatrixRole::embedding, NumberFormat::f32, table, 1, embedded_width),
              .scale = 10.0F,
              .out = embedded});
    if (embedded_width == width) return embedded;
    const TensorId out = tensor(name, width);
    recording_.operations.push_back(
        Linear{.in = embedded,
               .weight = matrix(MatrixRole::stacked, NumberFormat::f32, normal(size_t{width} * 32, 0.2F), 1, 32),
               .out = out});
    return out;
  }

  /// [heads * outputs, columns]
  MatrixId heads(NumberFormat format, uint32_t outputs, uint32_t columns) {
    const float spread = 1.5F / std::sqrt(static_cast<float>(columns));
    return matrix(MatrixRole::heads, format, normal(size_t{s_.heads} * outputs * columns, spread),
                  s_.part_for_each_head ? s_.heads : 1, columns);
  }

  MatrixId matrix(MatrixRole role, NumberFormat format, std::span<const float> values, uint32_t parts,
                  uint32_t columns) {
    const auto rows = static_cast<uint32_t>(values.size() / columns / parts);
    const MatrixSpec spec = {
        .role = role, .parts = std::vector<MatrixPart>(parts, {"rows", format, rows}), .cols = columns};
    const auto id = device_.declare_matrix(spec);
    if (!id) made_ = std::unexpected(id.error());
    for (uint32_t p = 0; p < parts && made_; ++p) {
      std::vector<std::byte> bytes(bytes_of(format, size_t{rows} * columns));
      quantize_row(format, values.subspan(size_t{p} * rows * columns, size_t{rows} * columns), bytes);
      made_ = device_.write_rows(*id, p, 0, bytes);
    }
    return id.value_or(MatrixId{});
  }

  VectorId vector(size_t size) {
    std::vector<float> values = normal(size, 0.2F);
    for (float& value : values) value += 1;
    return device_.upload_vector("vector", values).value_or(VectorId{});
  }

  std::vector<float> normal(size_t count, float spread) {
    std::normal_distribution<float> distribution(0, spread);
    std::vector<float> values(count);
    for (float& value : values) value = distribution(random_);
    return values;
  }

  Shape s_;
  Device& device_;
  Recording recording_;
  Result<void> made_;
  std::mt19937 random_{17};
};

/// Sequences of random tokens whose blocks are scattered over the cache, the same on every device.
class Runner {
 public:
  Runner(const Shape& shape, Device& device) : width_(shape.result_width()), layer_(shape, device) {
    auto program = layer_.compile({.tokens = 128, .logit_rows = 128, .sequences = kSequences});
    if (program) program_ = std::move(*program);
    if (!program) error_ = to_string(program.error());
    std::mt19937 random(5);
    std::vector<int32_t> blocks(kSequences * kBlocksEach);
    std::iota(blocks.begin(), blocks.end(), 0);
    std::ranges::shuffle(blocks, random);
    for (uint32_t s = 0; s < kSequences; ++s) {
      tables_.emplace_back(blocks.begin() + s * kBlocksEach, blocks.begin() + (s + 1) * kBlocksEach);
      texts_.emplace_back(kBlocksEach * kBlockTokens);
      for (int32_t& token : texts_.back()) token = static_cast<int32_t>(random() % kVocabulary);
      lengths_.push_back(0);
    }
  }
  const std::string& error() const { return error_; }

  /// Runs the next counts[s] tokens of each sequence s in one step; the result rows of each sequence, one after
  /// another.
  std::vector<std::vector<float>> step(const std::vector<uint32_t>& counts) {
    std::vector<int32_t> ids;
    std::vector<std::vector<std::span<const int32_t>>> views(kSequences);
    std::vector<SequenceInput> sequences;
    for (uint32_t s = 0; s < counts.size(); ++s) {
      if (counts[s] == 0) continue;
      views[s] = {tables_[s], tables_[s]};
      sequences.push_back({static_cast<uint32_t>(ids.size()), counts[s], lengths_[s], views[s]});
      const auto first = texts_[s].begin() + lengths_[s];
      ids.insert(ids.end(), first, first + counts[s]);
      lengths_[s] += counts[s];
    }
    const std::vector<float> rows = run(ids, sequences);
    std::vector<std::vector<float>> results(kSequences);
    auto next = rows.begin();
    for (uint32_t s = 0; s < counts.size() && !rows.empty(); ++s) {
      results[s].assign(next, next + static_cast<ptrdiff_t>(counts[s] * width_));
      next += static_cast<ptrdiff_t>(counts[s] * width_);
    }
    return results;
  }

  /// Sequence `to` is as `from` up to so many tokens, which lie in the same blocks.
  void share(uint32_t from, uint32_t to, uint32_t blocks) {
    std::copy_n(tables_[from].begin(), blocks, tables_[to].begin());
    texts_[to] = texts_[from];
    lengths_[to] = blocks * kBlockTokens;
  }

  /// Begins a sequence again, at the same places.
  void begin_again(uint32_t sequence) { lengths_[sequence] = 0; }

  /// Fills the rows of each sequence's first positions with what are no numbers.
  void poison() {
    constexpr uint32_t kTokens = 64;
    const std::vector<int32_t> ids(kTokens, kPoison);
    for (const auto& table : tables_) {
      const std::vector<std::span<const int32_t>> tables = {table, table};
      const std::vector<SequenceInput> sequences = {{0, kTokens, 0, tables}};
      const std::vector<float> rows = run(ids, sequences);
      const bool is_poison = std::ranges::all_of(rows, [](float value) { return std::isnan(value); });
      if (rows.empty() || !is_poison) error_ += "not poisoned; ";
    }
  }

 private:
  std::vector<float> run(std::span<const int32_t> ids, std::span<const SequenceInput> sequences) {
    if (!program_) return {};
    std::vector<uint32_t> rows(ids.size());
    std::iota(rows.begin(), rows.end(), 0);
    const auto output = program_->run({ids, sequences, rows});
    if (!output) error_ = to_string(output.error());
    return output ? std::vector<float>(output->logits.begin(), output->logits.end()) : std::vector<float>();
  }

  size_t width_;
  Layer layer_;
  std::unique_ptr<Program> program_;
  std::string error_;
  std::vector<std::vector<int32_t>> tables_, texts_;
  std::vector<uint32_t> lengths_;
};

/// Tokens of each sequence, step by step: one to seventeen and beyond, alone and together, prompts beside single
/// tokens, and contexts that end in the middle of blocks.
inline std::vector<std::vector<uint32_t>> mixed_steps() {
  std::vector<std::vector<uint32_t>> steps;
  for (uint32_t count = 1; count <= 17; ++count) steps.push_back({count});
  for (const auto& counts : std::vector<std::vector<uint32_t>>{
           {0, 5, 3}, {1, 40, 20}, {1, 1, 1}, {1, 0, 1}, {33, 1, 0}, {0, 0, 70}, {1, 2, 1}, {20, 30, 60}, {1, 1, 1}}) {
    steps.push_back(counts);
  }
  return steps;
}

/// |a - b| / |b| in the Euclidean norm, over all rows; 1 for other sizes, NaN counts as 1.
inline double relative_error(const std::vector<std::vector<float>>& a, const std::vector<std::vector<float>>& b) {
  double difference = 0, size = 0;
  for (size_t s = 0; s < b.size(); ++s) {
    if (a.size() != b.size() || a[s].size() != b[s].size()) return 1;
    for (size_t i = 0; i < b[s].size(); ++i) {
      difference += std::pow(static_cast<double>(a[s][i]) - b[s][i], 2);
      size += std::pow(static_cast<double>(b[s][i]), 2);
    }
  }
  const double error = size > 0 ? std::sqrt(difference / size) : 1;
  return std::isnan(error) ? 1 : error;
}

}  // namespace hearth::testing_latents
