#pragma once

#include <cmath>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "device/vulkan/recording/program.h"

// For tests: a whole decoder's step in a true shape, with few layers and without data in its weights.
namespace hearth::vulkan {

struct DecoderShape {
  std::string name;
  uint32_t hidden, feed_forward, heads, kv_heads, head_dim;
  bool gemma = false;    ///< norms behind attention and feed-forward too, GELU, every second layer with a window
  bool qk_norm = false;  ///< norms of Q's and K's heads
  bool qkv_bias = false;
};

inline const std::vector<DecoderShape>& decoder_shapes() {
  static const std::vector<DecoderShape> all = {
      {.name = "smollm2-135m", .hidden = 576, .feed_forward = 1536, .heads = 9, .kv_heads = 3, .head_dim = 64},
      {.name = "qwen2-1.5b",
       .hidden = 1536,
       .feed_forward = 8960,
       .heads = 12,
       .kv_heads = 2,
       .head_dim = 128,
       .qkv_bias = true},
      {.name = "qwen3-8b",
       .hidden = 4096,
       .feed_forward = 12288,
       .heads = 32,
       .kv_heads = 8,
       .head_dim = 128,
       .qk_norm = true},
      {.name = "llama-8b", .hidden = 4096, .feed_forward = 14336, .heads = 32, .kv_heads = 8, .head_dim = 128},
      {.name = "gemma3-4b",
       .hidden = 2560,
       .feed_forward = 10240,
       .heads = 8,
       .kv_heads = 4,
       .head_dim = 256,
       .gemma = true,
       .qk_norm = true},
      {.name = "gemma3-27b",
       .hidden = 5376,
       .feed_forward = 21504,
       .heads = 32,
       .kv_heads = 16,
       .head_dim = 128,
       .gemma = true,
       .qk_norm = true},
  };
  return all;
}

/// The recording of a decoder, its weights declared but never written, and its program.
class TestDecoder {
 public:
  struct Options {
    NumberFormat linear = NumberFormat::q4_0;  ///< of the layers' matrices
    NumberFormat head = NumberFormat::q8_0;    ///< of embedding and head, which are one
    uint32_t layers = 2;
    uint32_t vocabulary = 4096;  ///< no kernel depends on it
    uint32_t most_tokens = 16;
  };

  static Result<std::unique_ptr<TestDecoder>> create(Gpu& gpu, Pipelines& pipelines, const Tuning& tuning,
                                                     const DecoderShape& shape, const Options& options) {
    std::unique_ptr<TestDecoder> decoder(new TestDecoder(gpu, shape, options));
    if (auto recorded = decoder->record(); !recorded) return pass_on(recorded);
    if (auto finished = decoder->weights_.finish(); !finished) return pass_on(finished);
    CacheSpec cache = {.layers = {}, .blocks_per_group = {64}};
    cache.layers.resize(options.layers, {.group = 0, .kind = KeysAndValues{shape.kv_heads, shape.head_dim}});
    if (auto made = decoder->cache_.create(gpu, cache); !made) return pass_on(made);
    const ProgramLimits limits = {
        .tokens = options.most_tokens, .logit_rows = options.most_tokens, .sequences = options.most_tokens};
    auto program =
        VulkanProgram::create(gpu, pipelines, tuning, decoder->recording_, decoder->weights_, decoder->cache_, limits);
    if (!program) return pass_on(program);
    decoder->program_ = std::move(*program);
    return decoder;
  }

  VulkanProgram& program() { return *program_; }

 private:
  TestDecoder(Gpu& gpu, const DecoderShape& shape, const Options& options) : s_(shape), o_(options), weights_(gpu) {}

  Result<MatrixId> matrix(NumberFormat format, const std::vector<uint32_t>& parts, uint32_t cols,
                          MatrixRole role = MatrixRole::stacked) {
    MatrixSpec spec = {.role = role, .parts = {}, .cols = cols};
    for (const uint32_t rows : parts) spec.parts.push_back({s_.name, format, rows});
    return weights_.declare_matrix(spec);
  }

  /// Where `wanted`, else nothing.
  std::optional<VectorId> ones(uint32_t size, bool wanted = true) {
    if (!wanted) return {};
    return weights_.upload_vector(s_.name, std::vector<float>(size, 1.0F)).value();
  }

  TensorId tensor(Rows rows, uint32_t width) {
    recording_.tensors.push_back({s_.name, rows, width});
    return {static_cast<uint32_t>(recording_.tensors.size() - 1)};
  }

  void declare(Rows rows) {
    residual_ = tensor(rows, s_.hidden);
    normed_ = tensor(rows, s_.hidden);
    mixed_ = tensor(rows, s_.heads * s_.head_dim);
    branch_ = tensor(rows, s_.hidden);
    activated_ = tensor(rows, s_.feed_forward);
  }

  Result<void> record() {
    RopeSpec rope;
    for (uint32_t i = 0; i < s_.head_dim / 2; ++i) {
      rope.inverse_frequencies.push_back(static_cast<float>(std::pow(1e4, -2.0 * i / s_.head_dim)));
    }
    recording_.ropes = {rope};
    const auto embedding = matrix(o_.head, {o_.vocabulary}, s_.hidden);
    if (!embedding) return std::unexpected(embedding.error());
    declare(Rows::tokens);
    emit(Embed{.table = *embedding, .out = residual_});
    emit(AddNorm{.residual = residual_, .norm = ones(s_.hidden), .out = normed_});
    for (uint32_t i = 0; i < o_.layers; ++i) {
      if (auto recorded = layer(i); !recorded) return recorded;
    }
    recording_.logits = tensor(Rows::logits, o_.vocabulary);
    emit(Logits{.in = normed_, .head = *embedding, .out = recording_.logits});
    return {};
  }

  Result<void> layer(uint32_t i) {
    const uint32_t q = s_.heads * s_.head_dim, kv = s_.kv_heads * s_.head_dim;
    const auto qkv = matrix(o_.linear, {q, kv, kv}, s_.hidden);
    const auto output = matrix(o_.linear, {s_.hidden}, q);
    const auto gate_up = matrix(o_.linear, {s_.feed_forward, s_.feed_forward}, s_.hidden, MatrixRole::gate_up);
    const auto down = matrix(o_.linear, {s_.hidden}, s_.feed_forward);
    for (const auto* declared : {&qkv, &output, &gate_up, &down}) {
      if (!*declared) return std::unexpected(declared->error());
    }
    attention(i, *qkv);
    if (i + 1 == o_.layers) {
      const TensorId residual = residual_, mixed = mixed_;
      declare(Rows::logits);
      emit(SelectRows{.in = residual, .out = residual_});
      emit(SelectRows{.in = mixed, .out = mixed_});
    }
    emit(Linear{.in = mixed_, .weight = *output, .out = branch_});
    add_norm();
    emit(GateUp{.in = normed_,
                .gate_up = *gate_up,
                .activation = s_.gemma ? Activation::gelu_tanh : Activation::silu,
                .out = activated_});
    emit(Linear{.in = activated_, .weight = *down, .out = branch_});
    add_norm();
    return {};
  }

  void attention(uint32_t i, MatrixId qkv_weight) {
    const uint32_t q = s_.heads * s_.head_dim, kv = s_.kv_heads * s_.head_dim;
    const TensorId qkv = tensor(Rows::tokens, q + 2 * kv), query = tensor(Rows::tokens, q);
    emit(Linear{.in = normed_, .weight = qkv_weight, .bias = ones(q + 2 * kv, s_.qkv_bias), .out = qkv});
    emit(RopeAndStore{.qkv = qkv,
                      .heads = s_.heads,
                      .kv_heads = s_.kv_heads,
                      .head_dim = s_.head_dim,
                      .q_norm = ones(s_.head_dim, s_.qk_norm),
                      .k_norm = ones(s_.head_dim, s_.qk_norm),
                      .rope = RopeId{0},
                      .cache_layer = {i},
                      .out = query});
    emit(Attention{.query = query,
                   .heads = s_.heads,
                   .kv_heads = s_.kv_heads,
                   .head_dim = s_.head_dim,
                   .scale = 1.0F / std::sqrt(static_cast<float>(s_.head_dim)),
                   .window = s_.gemma && i % 2 == 0 ? 1024U : 0U,
                   .cache_layer = {i},
                   .out = mixed_});
  }

  void add_norm() {
    emit(AddNorm{.residual = residual_,
                 .branch = branch_,
                 .post_norm = ones(s_.hidden, s_.gemma),
                 .norm = ones(s_.hidden),
                 .out = normed_});
  }

  void emit(Operation operation) { recording_.operations.push_back(std::move(operation)); }

  DecoderShape s_;
  Options o_;
  Weights weights_;
  Cache cache_;
  Recording recording_;
  TensorId residual_, normed_, mixed_, branch_, activated_;
  std::unique_ptr<VulkanProgram> program_;
};

}  // namespace hearth::vulkan
