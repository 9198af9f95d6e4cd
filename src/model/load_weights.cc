#include "model/load_weights.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <atomic>
#include <mutex>
#include <optional>

#include "base/thread_pool.h"
#include "base/usable_cores.h"
#include "tensor/quantize.h"

namespace hearth {
namespace {

constexpr uint64_t kPieceBytes = 4U << 20;
constexpr unsigned kReaderThreads = 4;

/// Rows of one tensor on their way to the device.
struct Piece {
  const TensorInfo* tensor = nullptr;
  MatrixId matrix;
  uint32_t part = 0;
  uint32_t first_row = 0;
  uint32_t rows = 0;
  int layer = 0;
};

struct Source {
  TensorInfo tensor;
  MatrixId matrix;
  uint32_t part = 0;
  int layer = 0;
};

std::string shape_text(const std::vector<int64_t>& shape) { return fmt::format("[{}]", fmt::join(shape, ", ")); }

/// Declares a decoder's tensors on a device and remembers where their rows come from; without a device it only lists
/// its matrices. After an error everything else is skipped, so that a whole decoder can be declared before the first
/// look at `error`.
class WeightPlan {
 public:
  WeightPlan(const Checkpoint& checkpoint, Device* device, const DecoderConfig& config)
      : checkpoint_(checkpoint), device_(device), config_(config) {}

  struct Part {
    std::string name;
    uint32_t rows;
  };

  /// `layers` are those that use it.
  MatrixId matrix(const std::vector<Part>& parts, uint32_t cols, std::vector<uint32_t> layers) {
    MatrixSpec spec{.parts = {}, .cols = cols, .layers = std::move(layers)};
    std::vector<TensorInfo> tensors;
    for (const Part& part : parts) {
      const auto tensor = find(part.name, {part.rows, cols});
      if (!tensor) return {};
      spec.parts.push_back({tensor->name, tensor->format, part.rows});
      tensors.push_back(*tensor);
    }
    specs_.push_back(spec);
    if (device_ == nullptr) return {};
    auto matrix = device_->declare_matrix(spec);
    if (!matrix) {
      error_ = matrix.error();
      return {};
    }
    const int layer = static_cast<int>(spec.layers.front());
    for (uint32_t i = 0; i < tensors.size(); ++i) sources_.push_back({std::move(tensors[i]), *matrix, i, layer});
    return *matrix;
  }

  /// Empty names are vectors that the family does not have.
  std::optional<VectorId> norm(const std::string& name, uint32_t size, uint32_t layer) {
    if (name.empty() || device_ == nullptr) return {};
    std::vector<float> values = read_vector(name, size);
    for (float& value : values) value += config_.norm_offset;
    return upload(name, values, layer);
  }

  /// Empty names as for norms.
  std::optional<VectorId> stacked_bias(const std::vector<Part>& parts, uint32_t layer) {
    if (parts.front().name.empty() || device_ == nullptr) return {};
    std::vector<float> values;
    for (const Part& part : parts) {
      const auto piece = read_vector(part.name, part.rows);
      values.insert(values.end(), piece.begin(), piece.end());
    }
    return upload(parts.front().name, values, layer);
  }

  const std::optional<Error>& error() const { return error_; }
  const std::vector<Source>& sources() const { return sources_; }
  std::vector<MatrixSpec> take_specs() { return std::move(specs_); }

 private:
  std::optional<TensorInfo> find(const std::string& name, const std::vector<int64_t>& shape) {
    if (error_) return {};
    auto tensor = checkpoint_.find(name);
    if (!tensor) {
      error_ = tensor.error();
      return {};
    }
    if (tensor->shape != shape) {
      error_ = Error{ErrorCode::corrupt,
                     fmt::format("{}: tensor {} is {}, but the configuration asks for {}", checkpoint_.path().string(),
                                 name, shape_text(tensor->shape), shape_text(shape)),
                     "the file and its configuration do not belong together"};
      return {};
    }
    return *tensor;
  }

  std::vector<float> read_vector(const std::string& name, uint32_t size) {
    std::vector<float> values(size);
    const auto tensor = find(name, {size});
    if (!tensor) return values;
    if (size % traits(tensor->format).block_values != 0) {
      error_ = Error{ErrorCode::unsupported, fmt::format("tensor {} is not whole blocks", name), ""};
      return values;
    }
    std::vector<std::byte> bytes(tensor->bytes);
    if (auto read = checkpoint_.read(*tensor, 0, bytes); !read) {
      error_ = read.error();
      return values;
    }
    dequantize_row(tensor->format, bytes, values);
    return values;
  }

  std::optional<VectorId> upload(const std::string& name, const std::vector<float>& values, uint32_t layer) {
    if (error_) return {};
    auto vector = device_->upload_vector(name, values, layer);
    if (!vector) {
      error_ = vector.error();
      return {};
    }
    return *vector;
  }

  const Checkpoint& checkpoint_;
  Device* device_;
  const DecoderConfig& config_;
  std::optional<Error> error_;
  std::vector<MatrixSpec> specs_;
  std::vector<Source> sources_;
};

LayerWeights plan_layer(WeightPlan& plan, const DecoderConfig& c, const TensorNames& n, uint32_t i) {
  const auto name = [&](const std::string& pattern) { return in_layer(pattern, i); };
  const uint32_t q_rows = c.heads * c.head_dim;
  const uint32_t kv_rows = c.kv_heads * c.head_dim;
  LayerWeights w;
  w.attention_norm = plan.norm(name(n.attention_norm), c.hidden, i);
  w.qkv = plan.matrix({{name(n.q), q_rows}, {name(n.k), kv_rows}, {name(n.v), kv_rows}}, c.hidden, {i});
  w.qkv_bias = plan.stacked_bias({{name(n.q_bias), q_rows}, {name(n.k_bias), kv_rows}, {name(n.v_bias), kv_rows}}, i);
  w.q_norm = plan.norm(name(n.q_norm), c.head_dim, i);
  w.k_norm = plan.norm(name(n.k_norm), c.head_dim, i);
  w.output = plan.matrix({{name(n.output), c.hidden}}, q_rows, {i});
  w.output_bias = plan.stacked_bias({{name(n.output_bias), c.hidden}}, i);
  w.attention_post_norm = plan.norm(name(n.attention_post_norm), c.hidden, i);
  w.feed_forward_norm = plan.norm(name(n.feed_forward_norm), c.hidden, i);
  w.gate_up = plan.matrix({{name(n.gate), c.feed_forward}, {name(n.up), c.feed_forward}}, c.hidden, {i});
  w.gate_up_bias = plan.stacked_bias({{name(n.gate_bias), c.feed_forward}, {name(n.up_bias), c.feed_forward}}, i);
  w.down = plan.matrix({{name(n.down), c.hidden}}, c.feed_forward, {i});
  w.down_bias = plan.stacked_bias({{name(n.down_bias), c.hidden}}, i);
  w.feed_forward_post_norm = plan.norm(name(n.feed_forward_post_norm), c.hidden, i);
  return w;
}

DecoderWeights plan_decoder(WeightPlan& plan, const DecoderDescription& description) {
  const DecoderConfig& c = description.config;
  const TensorNames& n = description.names;
  DecoderWeights w;
  const auto last = static_cast<uint32_t>(c.layers.size() - 1);
  const std::vector<uint32_t> readers = c.tied_embeddings ? std::vector<uint32_t>{0, last} : std::vector<uint32_t>{0};
  w.embedding = plan.matrix({{n.embedding, c.vocabulary}}, c.hidden, readers);
  for (uint32_t i = 0; i < c.layers.size() && !plan.error(); ++i) w.layers.push_back(plan_layer(plan, c, n, i));
  w.output_norm = plan.norm(n.output_norm, c.hidden, last).value_or(VectorId{});
  w.head = c.tied_embeddings ? w.embedding : plan.matrix({{n.head, c.vocabulary}}, c.hidden, {last});
  return w;
}

std::vector<Piece> cut(const std::vector<Source>& sources) {
  std::vector<Piece> pieces;
  for (const Source& source : sources) {
    const auto rows = static_cast<uint32_t>(source.tensor.shape[0]);
    const uint64_t row_bytes = source.tensor.bytes / rows;
    const uint64_t fitting = kPieceBytes / row_bytes / Device::kRowGranularity * Device::kRowGranularity;
    const auto step = static_cast<uint32_t>(std::max<uint64_t>(fitting, Device::kRowGranularity));
    for (uint32_t row = 0; row < rows; row += step) {
      pieces.push_back({&source.tensor, source.matrix, source.part, row, std::min(step, rows - row), source.layer});
    }
  }
  return pieces;
}

/// Reads the pieces with a few threads, each into a buffer of its own.
class PieceReader {
 public:
  PieceReader(const Checkpoint& checkpoint, Device& device, ProgressSink& progress, int layers)
      : checkpoint_(checkpoint), device_(device), sink_(progress) {
    progress_.stage = "load";
    progress_.layers = layers;
  }

  Result<void> read(const std::vector<Piece>& pieces, const std::stop_token& stop) {
    for (const Piece& piece : pieces) progress_.total_bytes += bytes_of_piece(piece);
    sink_.report(progress_);
    ThreadPool pool(std::min(kReaderThreads, usable_cores()));
    std::vector<std::vector<std::byte>> buffers(pool.threads());
    pool.parallel_for(pieces.size(), [&](size_t i, unsigned thread) {
      if (failed_) return;
      auto result = stop.stop_requested() ? Result<void>(fail(ErrorCode::cancelled, "loading was cancelled"))
                                          : read_piece(pieces[i], buffers[thread]);
      if (!result) note_error(result.error());
    });
    if (error_) return std::unexpected(*error_);
    return {};
  }

 private:
  static uint64_t bytes_of_piece(const Piece& piece) {
    return piece.tensor->bytes / static_cast<uint64_t>(piece.tensor->shape[0]) * piece.rows;
  }

  Result<void> read_piece(const Piece& piece, std::vector<std::byte>& buffer) {
    const uint64_t bytes = bytes_of_piece(piece);
    buffer.resize(bytes);
    const uint64_t offset = bytes / piece.rows * piece.first_row;
    if (auto read = checkpoint_.read(*piece.tensor, offset, buffer); !read) return read;
    if (auto wrote = device_.write_rows(piece.matrix, piece.part, piece.first_row, buffer); !wrote) return wrote;
    std::lock_guard lock(mutex_);
    progress_.done_bytes += bytes;
    progress_.layer = std::max(progress_.layer, piece.layer);
    sink_.report(progress_);
    return {};
  }

  void note_error(Error error) {
    std::lock_guard lock(mutex_);
    if (!error_) error_ = std::move(error);
    failed_ = true;
  }

  const Checkpoint& checkpoint_;
  Device& device_;
  ProgressSink& sink_;
  std::atomic<bool> failed_ = false;
  std::mutex mutex_;  // guards what follows
  Progress progress_;
  std::optional<Error> error_;
};

}  // namespace

std::string in_layer(const std::string& name, uint32_t layer) {
  std::string result = name;
  const size_t at = result.find("{}");
  if (at != std::string::npos) result.replace(at, 2, std::to_string(layer));
  return result;
}

Result<std::vector<MatrixSpec>> list_matrices(const Checkpoint& checkpoint, const DecoderDescription& description) {
  WeightPlan plan(checkpoint, nullptr, description.config);
  (void)plan_decoder(plan, description);
  if (plan.error()) return std::unexpected(*plan.error());
  return plan.take_specs();
}

Result<DecoderWeights> load_weights(const Checkpoint& checkpoint, const DecoderDescription& description, Device& device,
                                    ProgressSink& progress, std::stop_token stop) {
  progress.report({.stage = "plan"});
  WeightPlan plan(checkpoint, &device, description.config);
  DecoderWeights weights = plan_decoder(plan, description);
  if (plan.error()) return std::unexpected(*plan.error());

  PieceReader reader(checkpoint, device, progress, static_cast<int>(description.config.layers.size()));
  if (auto read = reader.read(cut(plan.sources()), stop); !read) return pass_on(read);
  return weights;
}

}  // namespace hearth
