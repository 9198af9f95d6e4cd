// Speed of a decoder's step on a Vulkan device without a model file: the true shape, random weights, for tuning.

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <map>
#include <random>
#include <set>
#include <thread>

#include "device/tune_to_end.h"
#include "device/vulkan/bench/attention.h"
#include "device/vulkan/bench/pieces.h"
#include "device/vulkan/bench/report.h"
#include "device/vulkan/bench/step.h"
#include "device/vulkan/recording/program.h"
#include "device/vulkan/vulkan_device.h"

namespace hearth::vulkan {
namespace {

struct Shape {
  uint32_t layers, hidden, feed_forward, heads, kv_heads, head_dim, vocabulary;
  bool gemma;  ///< post norms, QK norms, gelu, five layers with a window of 1024 for each without
};

const std::map<std::string, Shape> kShapes = {
    {"gemma3-27b", {62, 5376, 21504, 32, 16, 128, 262208, true}},
    {"gemma3-4b", {34, 2560, 10240, 8, 4, 256, 262208, true}},
    {"llama-8b", {32, 4096, 14336, 32, 8, 128, 128256, false}},
    {"tiny", {3, 256, 768, 4, 2, 64, 1024, true}},
};

const std::map<std::string, NumberFormat> kFormats = {{"q4_0", NumberFormat::q4_0},
                                                      {"q8_0", NumberFormat::q8_0},
                                                      {"f16", NumberFormat::f16},
                                                      {"bf16", NumberFormat::bf16}};

/// A decoder of a shape on a device.
class SyntheticDecoder {
 public:
  SyntheticDecoder(Device& device, const Shape& shape, NumberFormat format)
      : device_(device), s_(shape), format_(format) {}

  Result<void> load() {
    record();
    const unsigned threads = std::max(1U, std::thread::hardware_concurrency());
    std::vector<std::jthread> workers;
    std::atomic<size_t> next = 0;
    std::vector<Result<void>> results(threads);
    for (unsigned t = 0; t < threads; ++t) {
      workers.emplace_back([&, t] {
        for (size_t i = next++; i < pieces_.size(); i = next++) {
          if (auto done = write(pieces_[i]); !done) results[t] = done;
        }
      });
    }
    workers.clear();
    for (auto& result : results) {
      if (!result) return result;
    }
    return error_;
  }

  Result<void> create_cache(uint32_t blocks) {
    CacheSpec spec = {.layers = {}, .blocks_per_group = {blocks}};
    spec.layers.resize(s_.layers, {.group = 0, .kind = KeysAndValues{s_.kv_heads, s_.head_dim}});
    return device_.create_cache(spec);
  }

  const Recording& recording() const { return recording_; }
  uint64_t bytes_per_step() const { return bytes_; }
  /// Operations of the layers' matrices, two for each weight.
  double work_per_token() const {
    const double attention = 2.0 * (s_.heads + s_.kv_heads) * s_.head_dim * s_.hidden;
    return 2.0 * s_.layers * (attention + 3.0 * s_.feed_forward * s_.hidden);
  }

 private:
  struct Piece {
    MatrixId matrix;
    uint32_t part, first_row, rows, cols;
    NumberFormat format;
  };

  /// Random blocks with small scales, or small plain values, the same for every piece: only their number matters to
  /// speed.
  Result<void> write(const Piece& piece) {
    const size_t count = bytes_of(piece.format, size_t{piece.rows} * piece.cols);
    std::vector<std::byte> bytes(count);
    std::mt19937 random(piece.first_row);
    for (size_t i = 0; i < count; i += 4) {
      uint32_t word = random();
      if (piece.format == NumberFormat::f16) word = (word & 0x83ff83ff) | 0x1c001c00;   // 2^-8 to 2^-7
      if (piece.format == NumberFormat::bf16) word = (word & 0x807f807f) | 0x3b803b80;  // likewise
      std::memcpy(bytes.data() + i, &word, std::min<size_t>(4, count - i));
    }
    const size_t block = traits(piece.format).block_bytes;
    if (traits(piece.format).block_values == 1)
      return device_.write_rows(piece.matrix, piece.part, piece.first_row, bytes);
    for (size_t i = 0; i < count; i += block) {
      const uint16_t scale = piece.format == NumberFormat::q4_0 ? 0x1a00 : 0x0b00;  // 0.003 and 0.0002
      std::memcpy(bytes.data() + i, &scale, 2);
    }
    return device_.write_rows(piece.matrix, piece.part, piece.first_row, bytes);
  }

  MatrixId matrix(const std::vector<uint32_t>& parts, uint32_t cols, NumberFormat format,
                  MatrixRole role = MatrixRole::stacked) {
    MatrixSpec spec = {.role = role, .parts = {}, .cols = cols};
    for (const uint32_t rows : parts) spec.parts.push_back({"synthetic", format, rows});
    auto id = device_.declare_matrix(spec);
    if (!id) {
      error_ = std::unexpected(id.error());
      return {};
    }
    for (uint32_t part = 0; part < parts.size(); ++part) {
      for (uint32_t row = 0; row < parts[part]; row += 1024) {
        pieces_.push_back({*id, part, row, std::min(1024U, parts[part] - row), cols, format});
      }
    }
    return *id;
  }

  std::optional<VectorId> ones(uint32_t size) {
    const std::vector<float> values(size, 1.0F);
    return device_.upload_vector("synthetic", values).value();
  }

  TensorId tensor(Rows rows, uint32_t width) {
    recording_.tensors.push_back({"", rows, width});
    return {static_cast<uint32_t>(recording_.tensors.size() - 1)};
  }

  void record();

  Device& device_;
  Shape s_;
  NumberFormat format_;  ///< of the layers' matrices
  Recording recording_;
  std::vector<Piece> pieces_;
  Result<void> error_;
  uint64_t bytes_ = 0;
  TensorId residual_, normed_, mixed_, branch_, activated_, qkv_, query_;
};

void SyntheticDecoder::record() {
  const uint32_t q_width = s_.heads * s_.head_dim;
  auto& ops = recording_.operations;
  RopeSpec rope;
  for (uint32_t i = 0; i < s_.head_dim / 2; ++i) {
    rope.inverse_frequencies.push_back(std::pow(1e4F, -2.0F * static_cast<float>(i) / static_cast<float>(s_.head_dim)));
  }
  recording_.ropes = {rope};
  const auto declare = [&](Rows rows) {
    residual_ = tensor(rows, s_.hidden);
    normed_ = tensor(rows, s_.hidden);
    branch_ = tensor(rows, s_.hidden);
    mixed_ = tensor(rows, q_width);
    activated_ = tensor(rows, s_.feed_forward);
  };
  declare(Rows::tokens);
  qkv_ = tensor(Rows::tokens, q_width + 2 * s_.kv_heads * s_.head_dim);
  query_ = tensor(Rows::tokens, q_width);
  const MatrixId embedding = matrix({s_.vocabulary}, s_.hidden, NumberFormat::q8_0);
  ops.push_back(Embed{.table = embedding, .scale = 1.0F, .out = residual_});
  ops.push_back(AddNorm{.residual = residual_, .norm = ones(s_.hidden), .out = normed_});
  for (uint32_t i = 0; i < s_.layers; ++i) {
    const bool last = i + 1 == s_.layers;
    const uint32_t kv = s_.kv_heads * s_.head_dim;
    const MatrixId qkv = matrix({q_width, kv, kv}, s_.hidden, format_);
    const MatrixId output = matrix({s_.hidden}, q_width, format_);
    const MatrixId gate_up = matrix({s_.feed_forward, s_.feed_forward}, s_.hidden, format_, MatrixRole::gate_up);
    const MatrixId down = matrix({s_.hidden}, s_.feed_forward, format_);
    for (const MatrixId id : {qkv, output, gate_up, down}) bytes_ += device_.matrix_bytes(id);
    const auto norm = [&] { return ones(s_.hidden); };
    const auto gemma = [&](std::optional<VectorId> vector) { return s_.gemma ? vector : std::nullopt; };
    ops.push_back(Linear{.in = normed_, .weight = qkv, .out = qkv_});
    ops.push_back(RopeAndStore{.qkv = qkv_,
                               .heads = s_.heads,
                               .kv_heads = s_.kv_heads,
                               .head_dim = s_.head_dim,
                               .q_norm = gemma(ones(s_.head_dim)),
                               .k_norm = gemma(ones(s_.head_dim)),
                               .rope = RopeId{0},
                               .cache_layer = {i},
                               .out = query_});
    ops.push_back(Attention{.query = query_,
                            .heads = s_.heads,
                            .kv_heads = s_.kv_heads,
                            .head_dim = s_.head_dim,
                            .scale = 1.0F / std::sqrt(static_cast<float>(s_.head_dim)),
                            .window = s_.gemma && i % 6 != 5 ? 1024U : 0U,
                            .cache_layer = {i},
                            .out = mixed_});
    if (last) {
      const TensorId residual = residual_, mixed = mixed_;
      declare(Rows::logits);
      ops.push_back(SelectRows{.in = residual, .out = residual_});
      ops.push_back(SelectRows{.in = mixed, .out = mixed_});
    }
    ops.push_back(Linear{.in = mixed_, .weight = output, .out = branch_});
    ops.push_back(
        AddNorm{.residual = residual_, .branch = branch_, .post_norm = gemma(norm()), .norm = norm(), .out = normed_});
    ops.push_back(GateUp{.in = normed_,
                         .gate_up = gate_up,
                         .activation = s_.gemma ? Activation::gelu_tanh : Activation::silu,
                         .out = activated_});
    ops.push_back(Linear{.in = activated_, .weight = down, .out = branch_});
    ops.push_back(
        AddNorm{.residual = residual_, .branch = branch_, .post_norm = gemma(norm()), .norm = norm(), .out = normed_});
  }
  bytes_ += device_.matrix_bytes(embedding);
  recording_.logits = tensor(Rows::logits, s_.vocabulary);
  ops.push_back(Logits{.in = normed_, .head = embedding, .out = recording_.logits});
}

struct Arguments {
  std::string shape = "gemma3-27b", format = "q4_0";
  uint32_t layers = 0, device = 0, context = 128, repeat = 10;
  std::vector<uint32_t> sequences = {1, 2, 4, 8, 9, 16, 32, 64};
  std::vector<uint32_t> prompts = {512, 2048};
  std::vector<std::string> tunings;
  std::string start;
  double tune = 0;
  uint32_t pieces = 0;
  bool profile = false, statistics = false;
  std::vector<uint32_t> attention_contexts;  ///< not empty: attention alone
  uint32_t window = 0;
  std::vector<uint32_t> rows = {1};
};

int run_attention(const Arguments& a) {
  const Shape& shape = kShapes.at(a.shape);
  return run_attention_bench({.device = a.device,
                              .heads = shape.heads,
                              .kv_heads = shape.kv_heads,
                              .head_dim = shape.head_dim,
                              .window = a.window,
                              .repeat = a.repeat,
                              .contexts = a.attention_contexts,
                              .sequences = a.sequences,
                              .rows = a.rows,
                              .prompts = a.prompts,
                              .tunings = a.tunings});
}

/// Those of the steps that are measured, side by side: one after another they take longer than measuring.
Result<void> prepare_pipelines(VulkanProgram& program, const Arguments& a) {
  std::set<PipelineKey> keys;
  const auto add = [&](const Step& step) -> Result<void> {
    auto listed = program.statistics(step.input());
    if (!listed) return pass_on(listed);
    for (const Launch& launch : listed->launches) keys.insert(launch.key);
    return {};
  };
  for (const uint32_t n : a.sequences) {
    if (auto added = add(Step(n, 1, a.context)); !added) return added;
  }
  for (const uint32_t n : a.prompts) {
    if (n == 0) continue;
    if (auto added = add(Step(1, n, 0)); !added) return added;
  }
  return program.pipelines().prepare(keys);
}

int run(const Arguments& a) {
  auto device = open_vulkan_device({.index = a.device, .pipeline_cache = a.start, .tune_seconds = a.tune});
  if (!device) {
    fmt::print(stderr, "{}\n", to_string(device.error()));
    return 1;
  }
  fmt::print("{}: {}\n", (*device)->info().name, (*device)->info().description);
  Shape shape = kShapes.at(a.shape);
  if (a.layers > 0) shape.layers = a.layers;
  SyntheticDecoder decoder(**device, shape, kFormats.at(a.format));
  const auto begin = std::chrono::steady_clock::now();
  if (auto loaded = decoder.load(); !loaded) {
    fmt::print(stderr, "{}\n", to_string(loaded.error()));
    return 1;
  }
  const double load_seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  const double bytes = static_cast<double>(decoder.bytes_per_step());
  fmt::print("{}, {} layers: {:.2f} GB for each step, loaded in {:.1f} s\n", a.shape, shape.layers, bytes / 1e9,
             load_seconds);
  uint32_t most = 1;
  for (const uint32_t n : a.sequences) most = std::max(most, n);
  uint32_t tokens = most;
  for (const uint32_t n : a.prompts) tokens = std::max(tokens, n);
  const uint32_t blocks =
      std::max(most * ((a.context + 1 + kBlockTokens) / kBlockTokens + 1), tokens / kBlockTokens + 2);
  if (auto made = decoder.create_cache(blocks); !made) {
    fmt::print(stderr, "{}\n", to_string(made.error()));
    return 1;
  }
  for (const std::string& tuning : a.tunings.empty() ? std::vector<std::string>{""} : a.tunings) {
    if (auto set = (*device)->set_tuning(tuning); !set) {
      fmt::print(stderr, "{}\n", to_string(set.error()));
      return 2;
    }
    auto program = (*device)->compile(decoder.recording(), {.tokens = tokens, .logit_rows = most, .sequences = most},
                                      {.prepare = !a.start.empty()});
    if (!program) {
      fmt::print(stderr, "{}\n", to_string(program.error()));
      return 1;
    }
    if (auto tuned = a.pieces > 0 ? tune_in_pieces(**program, a.pieces) : tune_to_end(**program); !tuned) {
      fmt::print(stderr, "{}\n", to_string(tuned.error()));
      return 1;
    }
    auto& vulkan_program = static_cast<VulkanProgram&>(**program);
    fmt::print("tuning '{}'\n", tuning);
    if (a.tune > 0) print_choices(vulkan_program);
    if (!a.start.empty()) continue;  // preparing has said how long it took
    if (auto made = prepare_pipelines(vulkan_program, a); !made) {
      fmt::print(stderr, "{}\n", to_string(made.error()));
      return 1;
    }
    for (const uint32_t n : a.sequences) {
      const Step step(n, 1, a.context);
      const double seconds = seconds_of_step(vulkan_program, step, a.repeat);
      const auto counts = vulkan_program.statistics(n, n);
      fmt::print(
          "  decode {:3} sequences, context {}: {:8.3f} ms, {:8.1f} tokens/s, {:7.1f} GB/s of weights, {} launches, {} "
          "barriers\n",
          n, a.context, seconds * 1e3, n / seconds, bytes / seconds / 1e9, counts ? counts->dispatches : 0,
          counts ? counts->barriers : 0);
      if (a.profile) print_profile(vulkan_program, step);
      if (a.statistics) print_statistics(vulkan_program, step, a.device);
      std::fflush(stdout);
    }
    for (const uint32_t n : a.prompts) {
      const Step step(1, n, 0);
      const double seconds = seconds_of_step(vulkan_program, step, std::max(1U, a.repeat / 4));
      fmt::print("  prompt {:4} tokens: {:8.2f} ms, {:8.1f} tokens/s, {:6.1f} TFLOPS\n", n, seconds * 1e3, n / seconds,
                 n / seconds * decoder.work_per_token() / 1e12);
      if (a.profile) print_profile(vulkan_program, step);
      if (a.statistics) print_statistics(vulkan_program, step, a.device);
      std::fflush(stdout);
    }
  }
  return 0;
}

}  // namespace
}  // namespace hearth::vulkan

int main(int argc, char** argv) {
  hearth::vulkan::Arguments a;
  CLI::App app("Speed of a decoder's step on a Vulkan device, with random weights in the true shape");
  app.add_option("--shape", a.shape, "gemma3-27b, gemma3-4b, llama-8b or tiny")->capture_default_str();
  app.add_option("--format", a.format, "of the layers' matrices: q4_0, q8_0, f16 or bf16")
      ->capture_default_str()
      ->check(CLI::IsMember(hearth::vulkan::kFormats));
  app.add_option("--layers", a.layers, "fewer layers than the shape has");
  app.add_option("--tune", a.tune, "seconds in which matmuls' tuning is measured before anything else");
  app.add_option("--pieces", a.pieces,
                 "tune in pieces of so many milliseconds, and say how long interrupting them takes");
  app.add_option("--device", a.device, "which device")->capture_default_str();
  app.add_option("--context", a.context, "tokens before each decoded one")->capture_default_str();
  app.add_option("--repeat", a.repeat, "runs of which the median counts")->capture_default_str();
  app.add_option("--sequences", a.sequences, "decode with these many sequences")->delimiter(',');
  app.add_option("--prompts", a.prompts, "prompts of these lengths; 0 for none")->delimiter(',');
  app.add_option("--tuning", a.tunings, "name=value,... over the defaults; repeat it for a sweep")->delimiter(';');
  app.add_flag("--statistics", a.statistics, "what the driver says of each pipeline");
  app.add_option("--start", a.start, "only make all pipelines, as before serving, and keep them in this folder");
  app.add_flag("--profile", a.profile, "times of each shader");
  app.add_option("--attention", a.attention_contexts, "times attention alone, decoding behind these contexts")
      ->delimiter(',');
  app.add_option("--rows", a.rows, "of --attention: tokens of each sequence, as when drafts are verified")
      ->delimiter(',');
  app.add_option("--window", a.window, "of --attention; 0 for none")->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  std::erase(a.prompts, 0U);
  return a.attention_contexts.empty() ? hearth::vulkan::run(a) : hearth::vulkan::run_attention(a);
}
