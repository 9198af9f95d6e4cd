#pragma once

#include <cmath>
#include <memory>
#include <optional>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "device/device.h"

// For tests: a layer that remembers by a state, on any device, and steps over several sequences.
namespace hearth::testing_state {

struct Shape {
  std::string name;
  uint32_t channels = 0, kernel = 0;
  bool gated = false, bias = false;  ///< of the convolution, which has no state of heads behind it where there are none
  std::optional<StateRule> rule;
  uint32_t heads = 0, key_heads = 0, key_dim = 0, value_dim = 0;
  bool key_heads_alternate = false, rates_by_key_head = false, skip = false, norm_by_group = false;
  float least_step = 0;

  uint32_t values() const { return heads * value_dim; }
  uint32_t state_values() const { return (kernel - 1) * channels + heads * key_dim * value_dim; }
};

inline const std::vector<Shape>& shapes() {
  static const auto kDelta = StateRule::gated_delta, kSelective = StateRule::selective;
  static const std::vector<Shape> kShapes = {
      {.name = "gated_convolution", .channels = 45, .kernel = 3, .gated = true, .bias = true},
      {.name = "convolution_over_two", .channels = 160, .kernel = 2},
      {.name = "delta",
       .channels = 160,
       .kernel = 4,
       .rule = kDelta,
       .heads = 4,
       .key_heads = 2,
       .key_dim = 16,
       .value_dim = 24,
       .rates_by_key_head = true},
      {.name = "delta_odd",
       .channels = 139,
       .kernel = 4,
       .bias = true,
       .rule = kDelta,
       .heads = 4,
       .key_heads = 2,
       .key_dim = 10,
       .value_dim = 23,
       .key_heads_alternate = true},
      {.name = "delta_large",
       .channels = 768,
       .kernel = 4,
       .rule = kDelta,
       .heads = 2,
       .key_heads = 2,
       .key_dim = 128,
       .value_dim = 128},
      {.name = "selective",
       .channels = 192,
       .kernel = 4,
       .bias = true,
       .rule = kSelective,
       .heads = 8,
       .key_heads = 2,
       .key_dim = 16,
       .value_dim = 16,
       .skip = true,
       .norm_by_group = true},
      {.name = "selective_odd",
       .channels = 58,
       .kernel = 5,
       .rule = kSelective,
       .heads = 6,
       .key_heads = 1,
       .key_dim = 7,
       .value_dim = 7,
       .norm_by_group = true,
       .least_step = 0.3F}};
  return kShapes;
}

inline constexpr uint32_t kVocabulary = 64;

/// Convolution, state, gated norm and gate of random rows. Both devices of a comparison get the same numbers.
class Layer {
 public:
  Layer(const Shape& shape, Device& device, uint32_t blocks) : s_(shape), device_(device) {
    const CacheLayerSpec layer = {.group = 1, .kind = State{s_.state_values() + 3}};
    const CacheLayerSpec other = {.group = 0, .kind = State{5}};
    made_ = device.create_cache({.layers = {other, layer}, .blocks_per_group = {blocks, blocks}});
    const uint32_t before = 3;  // columns that are somebody else's
    const TensorId in = input("in", before + (s_.gated ? 3 : 1) * s_.channels + s_.values() + 2 * s_.heads);
    TensorId out = tensor("convolved", s_.channels);
    recording_.operations.push_back(CausalConvolution{.in = in,
                                                      .first = before,
                                                      .channels = s_.channels,
                                                      .kernel = s_.kernel,
                                                      .gated = s_.gated,
                                                      .weight = vector(s_.kernel * s_.channels, 0.5F),
                                                      .bias = optional_vector(s_.bias, s_.channels),
                                                      .silu = s_.rule.has_value(),
                                                      .layer = {1},
                                                      .state_first = 3,
                                                      .out = out});
    if (s_.rule) out = attend(in, out, before + s_.channels);
    const TensorId gate = input("gate", s_.rule ? s_.values() : 1);
    const uint32_t width = s_.rule ? s_.values() : s_.channels;
    const TensorId gated = tensor("gated", width);
    recording_.operations.push_back(Gate{.in = out, .gate = gate, .out = gated});
    recording_.logits = {static_cast<uint32_t>(recording_.tensors.size())};
    recording_.tensors.push_back({"result", Rows::logits, width});
    recording_.operations.push_back(SelectRows{.in = gated, .out = recording_.logits});
  }

  Result<std::unique_ptr<Program>> compile(const ProgramLimits& limits) const {
    if (!made_) return std::unexpected(made_.error());
    return device_.compile(recording_, limits);
  }

 private:
  TensorId attend(TensorId in, TensorId convolved, uint32_t z) {
    const uint32_t keys = s_.key_heads * s_.key_dim, b = z + s_.values();
    const TensorId answers = tensor("answers", s_.values()), normed = tensor("normed", s_.values());
    recording_.operations.push_back(LinearAttention{.rule = *s_.rule,
                                                    .in = convolved,
                                                    .q_first = s_.values(),
                                                    .k_first = s_.values() + keys,
                                                    .v_first = 0,
                                                    .rates = in,
                                                    .a_first = b + s_.heads,
                                                    .b_first = b,
                                                    .rates_by_key_head = s_.rates_by_key_head,
                                                    .heads = s_.heads,
                                                    .key_heads = s_.key_heads,
                                                    .key_heads_alternate = s_.key_heads_alternate,
                                                    .key_dim = s_.key_dim,
                                                    .value_dim = s_.value_dim,
                                                    .decay_rate = vector(s_.heads, 0.1F, -0.3F),
                                                    .step_bias = vector(s_.heads, 0.5F, -1.0F),
                                                    .least_step = s_.least_step,
                                                    .skip = optional_vector(s_.skip, s_.heads),
                                                    .layer = {1},
                                                    .state_first = 3 + (s_.kernel - 1) * s_.channels,
                                                    .out = answers});
    recording_.operations.push_back(GatedNorm{.in = answers,
                                              .gates = in,
                                              .first = z,
                                              .gate_first = s_.norm_by_group,
                                              .group = s_.norm_by_group ? s_.values() / s_.key_heads : s_.value_dim,
                                              .weight_for_each_group = s_.norm_by_group,
                                              .weight = vector(s_.norm_by_group ? s_.values() : s_.value_dim, 1.0F),
                                              .epsilon = 1e-5F,
                                              .out = normed});
    return normed;
  }

  TensorId tensor(const char* name, uint32_t width) {
    recording_.tensors.push_back({name, Rows::tokens, width});
    return {static_cast<uint32_t>(recording_.tensors.size() - 1)};
  }

  /// Random rows of any width, by way of embeddings of 32 values.
  TensorId input(const char* name, uint32_t width) {
    const TensorId embedded = tensor("embedded", 32), out = tensor(name, width);
    recording_.operations.push_back(Embed{.table = matrix(kVocabulary, 1.0F), .out = embedded});
    recording_.operations.push_back(Linear{.in = embedded, .weight = matrix(width, 0.2F), .out = out});
    return out;
  }

  MatrixId matrix(uint32_t rows, float spread) {
    const auto id = device_.declare_matrix({.parts = {{"rows", NumberFormat::f32, rows}}, .cols = 32});
    const std::vector<float> values = normal(size_t{rows} * 32, spread, 0);
    if (!id) made_ = std::unexpected(id.error());
    if (made_) made_ = device_.write_rows(*id, 0, 0, std::as_bytes(std::span(values)));
    return id.value_or(MatrixId{});
  }

  VectorId vector(size_t size, float spread, float mean = 0) {
    return device_.upload_vector("vector", normal(size, spread, mean)).value_or(VectorId{});
  }
  std::optional<VectorId> optional_vector(bool is_there, size_t size) {
    return is_there ? std::optional(vector(size, 1.0F)) : std::nullopt;
  }

  std::vector<float> normal(size_t count, float spread, float mean) {
    std::normal_distribution<float> distribution(mean, spread);
    std::vector<float> values(count);
    for (float& value : values) value = distribution(random_);
    return values;
  }

  Shape s_;
  Device& device_;
  Recording recording_;
  Result<void> made_;
  std::mt19937 random_{7};
};

/// A sequence's share of a step: tokens [first, end) of a text, and the blocks of its state.
struct Share {
  std::span<const int32_t> tokens;
  int32_t from = -1, to = 0;
};

/// A step of some shares, with all rows of the result.
class Step {
 public:
  explicit Step(const std::vector<Share>& shares) : tables_(shares.size()), views_(shares.size()) {
    for (size_t s = 0; s < shares.size(); ++s) {
      tables_[s] = {shares[s].from, shares[s].to};
      views_[s] = {tables_[s], tables_[s]};
      sequences_.push_back({.first_token = static_cast<uint32_t>(ids_.size()),
                            .token_count = static_cast<uint32_t>(shares[s].tokens.size()),
                            .block_tables = views_[s]});
      for (const int32_t token : shares[s].tokens) {
        rows_.push_back(static_cast<uint32_t>(ids_.size()));
        ids_.push_back(token);
      }
    }
  }
  StepInput input() const { return {ids_, sequences_, rows_}; }

 private:
  std::vector<std::vector<int32_t>> tables_;
  std::vector<std::vector<std::span<const int32_t>>> views_;
  std::vector<SequenceInput> sequences_;
  std::vector<int32_t> ids_;
  std::vector<uint32_t> rows_;
};

inline std::vector<int32_t> random_text(size_t tokens, uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<int32_t> text(tokens);
  for (int32_t& token : text) token = static_cast<int32_t>(random() % kVocabulary);
  return text;
}

/// Runs steps and keeps what they give.
class Runner {
 public:
  Runner(const Shape& shape, Device& device) : layer_(shape, device, kBlocks) {
    auto program = layer_.compile({.tokens = 128, .logit_rows = 128, .sequences = 8});
    if (program) program_ = std::move(*program);
    if (!program) error_ = to_string(program.error());
  }
  const std::string& error() const { return error_; }

  std::vector<float> run(const std::vector<Share>& shares) {
    const Step step(shares);
    const auto output = program_->run(step.input());
    if (!output) error_ = to_string(output.error());
    return output ? std::vector<float>(output->logits.begin(), output->logits.end()) : std::vector<float>();
  }

  static constexpr uint32_t kBlocks = 16;

 private:
  Layer layer_;
  std::unique_ptr<Program> program_;
  std::string error_;
};

/// |a - b| / |b| in the Euclidean norm; 1 for other sizes.
inline double relative_error(std::span<const float> a, std::span<const float> b) {
  if (a.size() != b.size()) return 1;
  double difference = 0, size = 0;
  for (size_t i = 0; i < b.size(); ++i) {
    difference += std::pow(static_cast<double>(a[i]) - b[i], 2);
    size += std::pow(static_cast<double>(b[i]), 2);
  }
  return std::sqrt(difference / size);
}

/// Texts of several sequences in steps of many kinds: prompts, single tokens, from a state to itself and to another.
inline std::vector<std::vector<Share>> mixed_steps(std::span<const std::vector<int32_t>> texts) {
  const auto part = [&](size_t text, size_t first, size_t count) {
    return std::span(texts[text]).subspan(first, count);
  };
  return {{{part(0, 0, 1), -1, 0}, {part(1, 0, 40), -1, 1}, {part(2, 0, 2), -1, 2}},
          {{part(0, 1, 1), 0, 0}, {part(1, 40, 1), 1, 3}, {part(2, 2, 3), 2, 4}},
          {{part(2, 5, 1), 4, 4}, {part(0, 2, 33), 0, 5}},
          {{part(1, 40, 2), 1, 1}, {part(0, 35, 2), 5, 5}, {part(2, 6, 1), 4, 2}}};
}

}  // namespace hearth::testing_state
