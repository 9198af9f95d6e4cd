#include <algorithm>
#include <optional>

#include "device/cpu/step_context.h"
#include "device/cpu/tile_product.h"

namespace hearth::cpu {
namespace {

/// How a product is cut into pieces of work: units of output columns (a tile, or a pair of tiles) times tokens.
struct ProductChunks {
  size_t units;
  size_t tokens;
  size_t units_per_chunk;
  size_t tokens_per_chunk;

  size_t unit_chunks() const { return (units + units_per_chunk - 1) / units_per_chunk; }
  size_t token_chunks() const { return (tokens + tokens_per_chunk - 1) / tokens_per_chunk; }
  size_t count() const { return unit_chunks() * token_chunks(); }

  struct Range {
    size_t first_unit, end_unit;
    size_t first_token, end_token;
  };
  /// Neighbouring chunks read the same weights for other tokens.
  Range operator[](size_t index) const {
    const size_t unit = index / token_chunks() * units_per_chunk;
    const size_t token = index % token_chunks() * tokens_per_chunk;
    return {unit, std::min(units, unit + units_per_chunk), token, std::min(tokens, token + tokens_per_chunk)};
  }
};

/// Chunks of some microseconds each, several for a thread. Estimated with round numbers: 15 bytes of weights and 100
/// products a nanosecond.
ProductChunks chunks_of(size_t units, double unit_bytes, double unit_products, size_t tokens, unsigned threads) {
  constexpr size_t kTokens = 64;  // whose activations stay in the second-level cache beside a tile
  ProductChunks chunks{units, tokens, 1, std::min(tokens, kTokens)};
  const double nanoseconds =
      std::max(unit_bytes / 15.0, unit_products * static_cast<double>(chunks.tokens_per_chunk) / 100.0);
  const double total = nanoseconds * static_cast<double>(units * chunks.token_chunks());
  const double wanted = std::clamp(total / (8.0 * threads), 1500.0, 20000.0);
  chunks.units_per_chunk = std::clamp<size_t>(static_cast<size_t>(wanted / nanoseconds), 1, units);
  return chunks;
}

size_t total_tiles(const PackedMatrix& matrix) {
  size_t tiles = 0;
  for (const PackedPart& part : matrix.parts()) tiles += part.tile_count();
  return tiles;
}

/// Linear and Logits. Logits' integer weights take fine panels.
class ProductOperation : public CpuOperation {
 public:
  ProductOperation(const Linear& op, bool may_be_offloaded)
      : in_(op.in), weight_(op.weight), out_(op.out), bias_(op.bias), may_be_offloaded_(may_be_offloaded) {}
  explicit ProductOperation(const Logits& op)
      : in_(op.in), weight_(op.head), out_(op.out), scale_(op.scale), softcap_(op.softcap), is_fine_(true) {}

  size_t scratch_floats() const override { return size_t{kPanelTokens} * kTileRows; }

  void run(const StepContext& step) override {
    const size_t rows = step.rows(step.activations.tensor(in_));
    if (rows == 0) return;
    if (may_be_offloaded_ && run_offloaded(step, rows)) return;
    const PackedMatrix& matrix = step.storage.matrices[weight_.index];
    const size_t tiles = total_tiles(matrix);
    const ProductChunks chunks =
        chunks_of(tiles, static_cast<double>(matrix.bytes()) / static_cast<double>(tiles),
                  static_cast<double>(kTileRows) * matrix.cols() * (is_fine_ ? 2 : 1), rows, step.pool().threads());
    step.pool().parallel_for(chunks.count(), [&](size_t index, unsigned thread) {
      multiply(step, matrix, chunks[index], step.scratch[thread].get());
    });
  }

 private:
  bool run_offloaded(const StepContext& step, size_t rows) const {
    const ActivationTensor& out = step.activations.tensor(out_);
    const auto take = [&](size_t first, size_t count, const float* products, size_t stride) {
      step.for_rows(count, [&](size_t row, float*) {
        std::copy_n(products + row * stride, out.width, out.row(first + row));
        finish(step, out, {0, 0, first + row, first + row + 1}, 0, out.width);
      });
    };
    return step.offload(weight_, step.activations.tensor(in_), rows, take);
  }

  void multiply(const StepContext& step, const PackedMatrix& matrix, const ProductChunks::Range& range,
                float* scratch) const {
    size_t part_begin = 0;
    for (const PackedPart& part : matrix.parts()) {
      const size_t part_end = part_begin + part.tile_count();
      for (size_t t = std::max(range.first_unit, part_begin); t < std::min(range.end_unit, part_end); ++t) {
        multiply_rows(step, part, t - part_begin, range, scratch);
      }
      part_begin = part_end;
    }
  }

  void multiply_rows(const StepContext& step, const PackedPart& part, size_t tile, const ProductChunks::Range& range,
                     float* scratch) const {
    const ActivationTensor& in = step.activations.tensor(in_);
    const ActivationTensor& out = step.activations.tensor(out_);
    const size_t column = part.first_row + tile * kTileRows;
    const size_t columns = std::min<size_t>(kTileRows, part.rows - tile * kTileRows);
    const bool is_fine = is_fine_ && panel_kind(part.encoding) == PanelKind::int8;
    const Panels panels = in.panels(is_fine ? PanelKind::fine : panel_kind(part.encoding), step.rows(in));
    if (columns == kTileRows && !is_fine) {
      multiply_tile(step, part, tile, panels, range.first_token, range.end_token, out.row(range.first_token) + column,
                    out.width);
    } else {
      const size_t times = is_fine ? 2 : 1;
      for (size_t first = range.first_token; first < range.end_token; first += kPanelTokens / times) {
        const size_t end = std::min(range.end_token, first + kPanelTokens / times);
        multiply_tile(step, part, tile, panels, first * times, end * times, scratch, kTileRows);
        for (size_t row = first; row < end; ++row) {
          const float* products = scratch + (row - first) * times * kTileRows;
          if (is_fine)
            step.kernels().add_scaled(scratch + (row - first) * 2 * kTileRows, products + kTileRows, 1.0F, columns);
          std::copy_n(products, columns, out.row(row) + column);
        }
      }
    }
    finish(step, out, range, column, columns);
  }

  void finish(const StepContext& step, const ActivationTensor& out, const ProductChunks::Range& range, size_t column,
              size_t count) const {
    const bool is_plain = scale_ == 1.0F && softcap_ == 0.0F;
    if (!bias_ && is_plain) return;
    for (size_t row = range.first_token; row < range.end_token; ++row) {
      float* const values = out.row(row) + column;
      if (bias_) step.kernels().add_scaled(values, step.storage.vectors[bias_->index].data() + column, 1.0F, count);
      if (!is_plain) step.kernels().scale_and_cap(values, count, scale_, softcap_);
    }
  }

  TensorId in_;
  MatrixId weight_;
  TensorId out_;
  std::optional<VectorId> bias_;
  float scale_ = 1.0F;
  float softcap_ = 0.0F;
  bool is_fine_ = false;
  bool may_be_offloaded_ = false;
};

/// Gate and up of the same columns, a pair of tiles at a time, which is one block of the next product's input.
class GateUpOperation : public CpuOperation {
 public:
  GateUpOperation(const GateUp& op, const TensorForms& forms) : op_(op), forms_(forms) {}

  size_t scratch_floats() const override { return size_t{2} * kPanelTokens * kBlockCols; }

  void run(const StepContext& step) override {
    const ActivationTensor& in = step.activations.tensor(op_.in);
    const PackedMatrix& matrix = step.storage.matrices[op_.gate_up.index];
    const size_t tokens = step.rows(in);
    if (tokens == 0 || run_offloaded(step, tokens)) return;
    const size_t blocks = (matrix.parts()[0].tile_count() + 1) / 2;
    const ProductChunks chunks = chunks_of(blocks, static_cast<double>(matrix.bytes()) / static_cast<double>(blocks),
                                           4.0 * kTileRows * matrix.cols(), tokens, step.pool().threads());
    step.pool().parallel_for(chunks.count(), [&](size_t index, unsigned thread) {
      const ProductChunks::Range range = chunks[index];
      for (size_t block = range.first_unit; block < range.end_unit; ++block) {
        for (size_t first = range.first_token; first < range.end_token; first += kPanelTokens) {
          multiply_block(step, matrix, block, first, std::min(range.end_token, first + kPanelTokens),
                         step.scratch[thread].get());
        }
      }
    });
  }

 private:
  bool run_offloaded(const StepContext& step, size_t tokens) const {
    const ActivationTensor& out = step.activations.tensor(op_.out);
    const auto take = [&](size_t first, size_t count, float* products, size_t stride) {
      step.for_rows(count, [&](size_t row, float*) {
        float* const gate = products + row * stride;
        for (size_t column = 0; column < out.width; column += kBlockCols) {
          const size_t columns = std::min<size_t>(kBlockCols, out.width - column);
          finish(step, first + row, column, columns, gate + column, gate + out.width + column);
        }
      });
    };
    return step.offload(op_.gate_up, step.activations.tensor(op_.in), tokens, take);
  }

  void multiply_block(const StepContext& step, const PackedMatrix& matrix, size_t block, size_t first, size_t end,
                      float* scratch) const {
    const ActivationTensor& in = step.activations.tensor(op_.in);
    const ActivationTensor& out = step.activations.tensor(op_.out);
    float* const products[2] = {scratch, scratch + size_t{kPanelTokens} * kBlockCols};
    const size_t tiles = std::min<size_t>(2, matrix.parts()[0].tile_count() - 2 * block);
    for (size_t part = 0; part < 2; ++part) {
      for (size_t tile = 0; tile < tiles; ++tile) {
        const PackedPart& weights = matrix.parts()[part];
        multiply_tile(step, weights, 2 * block + tile, in.panels(panel_kind(weights.encoding), step.rows(in)), first,
                      end, products[part] + tile * kTileRows, kBlockCols);
      }
    }
    const size_t column = block * kBlockCols;
    const size_t count = std::min<size_t>(kBlockCols, out.width - column);
    for (size_t t = first; t < end; ++t) {
      float* const gate = products[0] + (t - first) * kBlockCols;
      float* const up = products[1] + (t - first) * kBlockCols;
      finish(step, t, column, count, gate, up);
    }
  }

  /// `count` products of both, from `column` on, become a token's output.
  void finish(const StepContext& step, size_t token, size_t column, size_t count, float* gate, float* up) const {
    const ActivationTensor& out = step.activations.tensor(op_.out);
    if (op_.bias) {
      const float* const bias = step.storage.vectors[op_.bias->index].data() + column;
      step.kernels().add_scaled(gate, bias, 1.0F, count);
      step.kernels().add_scaled(up, bias + out.width, 1.0F, count);
    }
    step.kernels().activate(op_.activation, gate, up, gate, count);
    if (forms_.values) std::copy_n(gate, count, out.row(token) + column);
    if (forms_.panels()) {
      step.kernels().fill_panels(gate, count, out.panel_row(forms_, token, step.rows(out)), column / kBlockCols);
    }
  }

  GateUp op_;
  TensorForms forms_;
};

}  // namespace

std::unique_ptr<CpuOperation> make_linear(const Linear& op, bool may_be_offloaded) {
  return std::make_unique<ProductOperation>(op, may_be_offloaded);
}

std::unique_ptr<CpuOperation> make_logits(const Logits& op) { return std::make_unique<ProductOperation>(op); }

std::unique_ptr<CpuOperation> make_gate_up(const GateUp& op, const TensorForms& out) {
  return std::make_unique<GateUpOperation>(op, out);
}

}  // namespace hearth::cpu
