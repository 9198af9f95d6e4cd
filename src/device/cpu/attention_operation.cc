#include <algorithm>

#include "device/cpu/step_context.h"

namespace hearth::cpu {
namespace {

/// Attention, or attention over latent rows, as the heads of queries and what they read.
struct AttentionShape {
  explicit AttentionShape(const Attention& op)
      : query(op.query),
        out(op.out),
        cache_layer(op.cache_layer.index),
        heads(op.heads),
        shares(op.kv_heads),
        head_dim(op.head_dim),
        value_dim(op.head_dim),
        scale(op.scale),
        softcap(op.softcap),
        window(op.window),
        chunked(op.chunked),
        sinks(op.sinks) {}

  /// All heads read the same rows: they are shared out so that there is work for threads.
  explicit AttentionShape(const LatentAttention& op)
      : query(op.query),
        out(op.out),
        cache_layer(op.cache_layer.index),
        heads(op.heads),
        head_dim(op.width),
        value_dim(op.value_dim),
        is_latent(true),
        scale(op.scale) {
    uint32_t group = std::min<uint32_t>(kQueryRows, heads);
    while (heads % group != 0) --group;
    shares = heads / group;
  }

  uint32_t group() const { return heads / shares; }

  TensorId query, out;
  uint32_t cache_layer;
  uint32_t heads;
  uint32_t shares = 1;  ///< of the heads, each of which reads the same K and V
  uint32_t head_dim;
  uint32_t value_dim;
  bool is_latent = false;
  float scale;
  float softcap = 0.0F;
  uint32_t window = 0;
  bool chunked = false;
  std::optional<VectorId> sinks;
};

/// Consecutive tokens of one sequence and the query heads of one share: together they read the same K and V.
struct QueryTile {
  uint32_t sequence;
  uint32_t first_token;  ///< row of the batch
  uint32_t tokens;
  uint32_t share;
  uint32_t first_split;  ///< of the context, by absolute position
  uint32_t end_split;
  size_t first_part;  ///< where its splits' results lie when they are computed apart; kTogether otherwise

  static constexpr size_t kTogether = SIZE_MAX;
  uint32_t splits() const { return end_split - first_split; }
};

/// One split of one tile, or all of its splits.
struct WorkItem {
  size_t tile;
  uint32_t first_split;
  uint32_t end_split;
};

/// Up to kQueryRows rows of a tile: row r is token r / group and query head r % group.
struct RowRange {
  uint32_t first;
  uint32_t count;
};

constexpr uint32_t kTileTokens = 8;

/// Attention's work for one step. Splits are cut by absolute position and merged in order, so that a row's result does
/// not depend on who computes which split, nor on what else is in the batch.
class AttentionRun {
 public:
  AttentionRun(const StepContext& step, const AttentionShape& op, const TensorForms& forms, std::vector<float>& parts)
      : step_(step), op_(op), forms_(forms), group_(op.group()), parts_(parts) {
    make_tiles();
    make_items();
  }

  void run() {
    step_.pool().parallel_for(
        items_.size(), [&](size_t index, unsigned thread) { attend(items_[index], step_.scratch[thread].get()); });
    if (apart_.empty()) return;
    step_.pool().parallel_for(apart_.size(), [&](size_t index, unsigned thread) {
      merge(tiles_[apart_[index]], step_.scratch[thread].get());
    });
  }

  static size_t scratch_floats(const AttentionShape& op) {
    return kAttendScratch + size_t{kQueryRows} * op.head_dim + size_t{2} * kQueryRows * op.value_dim + 4 * kQueryRows +
           op.value_dim;
  }

 private:
  /// Scratch of one thread, cut up.
  struct Scratch {
    float* attend;
    float* queries;
    SplitOutput total;
    SplitOutput part;
    float* row;
  };

  Scratch cut(float* memory) const {
    const auto take = [&](size_t floats) { return std::exchange(memory, memory + floats); };
    const size_t rows_by_dim = size_t{kQueryRows} * op_.value_dim;
    Scratch s{};
    s.attend = take(kAttendScratch);
    s.queries = take(size_t{kQueryRows} * op_.head_dim);
    s.total.mixed = take(rows_by_dim);
    s.part.mixed = take(rows_by_dim);
    s.total.highest = take(kQueryRows);
    s.total.sum = take(kQueryRows);
    s.part.highest = take(kQueryRows);
    s.part.sum = take(kQueryRows);
    s.row = take(op_.value_dim);
    return s;
  }

  uint32_t first_visible(uint32_t position) const {
    return Attention{.window = op_.window, .chunked = op_.chunked}.first_position(position);
  }

  void make_tiles() {
    for (uint32_t s = 0; s < step_.input.sequences.size(); ++s) {
      const SequenceInput& sequence = step_.input.sequences[s];
      for (uint32_t t = 0; t < sequence.token_count; t += kTileTokens) {
        const uint32_t tokens = std::min(kTileTokens, sequence.token_count - t);
        const uint32_t position = sequence.context_tokens + t;
        for (uint32_t h = 0; h < op_.shares; ++h) {
          tiles_.push_back({s, sequence.first_token + t, tokens, h, first_visible(position) / kSplitTokens,
                            (position + tokens - 1) / kSplitTokens + 1, QueryTile::kTogether});
        }
      }
    }
  }

  /// A tile whose share of the work is too large for one thread is cut into its splits.
  void make_items() {
    const auto cost = [](const QueryTile& tile) { return size_t{tile.tokens} * tile.splits(); };
    size_t total = 0;
    for (const QueryTile& tile : tiles_) total += cost(tile);
    const size_t threads = step_.pool().threads();
    size_t parts = 0;
    for (size_t i = 0; i < tiles_.size(); ++i) {
      QueryTile& tile = tiles_[i];
      if (threads == 1 || tile.splits() == 1 || cost(tile) * threads * 4 <= total) {
        items_.push_back({i, tile.first_split, tile.end_split});
        continue;
      }
      tile.first_part = parts;
      parts += tile.splits() * part_floats(tile);
      apart_.push_back(i);
      for (uint32_t split = tile.first_split; split < tile.end_split; ++split) items_.push_back({i, split, split + 1});
    }
    if (parts_.size() < parts) parts_.resize(parts);
  }

  uint32_t rows(const QueryTile& tile) const { return tile.tokens * group_; }
  size_t part_floats(const QueryTile& tile) const { return size_t{rows(tile)} * (op_.value_dim + 2); }

  SplitOutput part(const QueryTile& tile, uint32_t split, uint32_t first_row) const {
    float* const base = parts_.data() + tile.first_part + (split - tile.first_split) * part_floats(tile);
    return {base + first_row, base + rows(tile) + first_row, base + 2 * rows(tile) + size_t{first_row} * op_.value_dim};
  }

  template <class F>
  void for_row_ranges(const QueryTile& tile, F&& f) const {
    for (uint32_t first = 0; first < rows(tile); first += kQueryRows) {
      f(RowRange{first, std::min<uint32_t>(kQueryRows, rows(tile) - first)});
    }
  }

  void attend(const WorkItem& item, float* memory) const {
    const QueryTile& tile = tiles_[item.tile];
    const Scratch scratch = cut(memory);
    for_row_ranges(tile, [&](RowRange range) {
      gather_queries(tile, range, scratch.queries);
      if (tile.first_part != QueryTile::kTogether) {
        attend_split(tile, range, item.first_split, scratch, part(tile, item.first_split, range.first));
        return;
      }
      attend_split(tile, range, item.first_split, scratch, scratch.total);
      for (uint32_t split = item.first_split + 1; split < item.end_split; ++split) {
        attend_split(tile, range, split, scratch, scratch.part);
        step_.kernels().merge_split(scratch.total, scratch.part, range.count, op_.value_dim);
      }
      finish(tile, range, scratch.total, scratch.row);
    });
  }

  void merge(const QueryTile& tile, float* memory) const {
    const Scratch scratch = cut(memory);
    for_row_ranges(tile, [&](RowRange range) {
      const SplitOutput total = part(tile, tile.first_split, range.first);
      for (uint32_t split = tile.first_split + 1; split < tile.end_split; ++split) {
        step_.kernels().merge_split(total, part(tile, split, range.first), range.count, op_.value_dim);
      }
      finish(tile, range, total, scratch.row);
    });
  }

  uint32_t head_of(const QueryTile& tile, uint32_t row) const { return tile.share * group_ + row % group_; }

  void gather_queries(const QueryTile& tile, RowRange range, float* queries) const {
    const ActivationTensor& query = step_.activations.tensor(op_.query);
    for (uint32_t r = 0; r < range.count; ++r) {
      const uint32_t row = range.first + r;
      const float* q = query.row(tile.first_token + row / group_) + size_t{head_of(tile, row)} * op_.head_dim;
      if (op_.is_latent) {
        std::copy_n(q, op_.head_dim, queries + size_t{r} * op_.head_dim);
      } else {
        for (uint32_t d = 0; d < op_.head_dim; ++d) queries[d * kQueryRows + r] = q[d];
      }
    }
  }

  void attend_split(const QueryTile& tile, RowRange range, uint32_t split, const Scratch& scratch,
                    const SplitOutput& out) const {
    const SequenceInput& sequence = step_.input.sequences[tile.sequence];
    const PagedCache& cache = step_.storage.cache;
    const auto table = sequence.block_tables[cache.layer(op_.cache_layer).group];
    const uint32_t begin = split * kSplitTokens;

    unsigned first[kQueryRows];
    unsigned end[kQueryRows];
    unsigned last_seen = 0;
    unsigned first_seen = kSplitTokens;
    for (uint32_t r = 0; r < range.count; ++r) {
      const uint32_t position = step_.places[tile.first_token + (range.first + r) / group_].position;
      first[r] = std::max(first_visible(position), begin) - begin;
      end[r] = position + 1 > begin ? std::min(position + 1 - begin, kSplitTokens) : 0;
      if (first[r] >= end[r]) continue;
      first_seen = std::min(first_seen, first[r]);
      last_seen = std::max(last_seen, end[r]);
    }
    const uint16_t* keys[kSplitBlocks];
    const uint16_t* values[kSplitBlocks];
    for (uint32_t b = first_seen / kBlockTokens; b * kBlockTokens < last_seen; ++b) {
      const auto block = static_cast<uint32_t>(table[split * kSplitBlocks + b]);
      keys[b] = op_.is_latent ? cache.rows(op_.cache_layer, block) : cache.keys(op_.cache_layer, block, tile.share);
      values[b] = op_.is_latent ? keys[b] : cache.values(op_.cache_layer, block, tile.share);
    }
    const auto& kernels = step_.kernels();
    const auto kernel = op_.is_latent ? kernels.attend_latent_split : kernels.attend_split;
    kernel({.queries = scratch.queries,
            .rows = range.count,
            .head_dim = op_.head_dim,
            .value_dim = op_.value_dim,
            .value_stride = op_.is_latent ? op_.head_dim : op_.value_dim,
            .key_blocks = keys,
            .value_blocks = values,
            .first_visible = first,
            .end_visible = end,
            .scale = op_.scale,
            .softcap = op_.softcap},
           out, scratch.attend);
  }

  void finish(const QueryTile& tile, RowRange range, const SplitOutput& total, float* row_values) const {
    const ActivationTensor& out = step_.activations.tensor(op_.out);
    const float* sinks = op_.sinks ? step_.storage.vectors[op_.sinks->index].data() : nullptr;
    for (uint32_t r = 0; r < range.count; ++r) {
      const uint32_t row = range.first + r;
      const uint32_t head = head_of(tile, row);
      const size_t token = tile.first_token + row / group_;
      const size_t column = size_t{head} * op_.value_dim;
      float* const values = forms_.values ? out.row(token) + column : row_values;
      step_.kernels().finish_row(total, r, op_.value_dim, sinks != nullptr ? sinks + head : nullptr, values);
      if (forms_.panels() && op_.value_dim % kBlockCols == 0) {
        step_.kernels().fill_panels(values, op_.value_dim, out.panel_row(forms_, token, step_.rows(out)),
                                    column / kBlockCols);
      }
    }
  }

  const StepContext& step_;
  const AttentionShape& op_;
  const TensorForms& forms_;
  uint32_t group_;
  std::vector<float>& parts_;
  std::vector<QueryTile> tiles_;
  std::vector<WorkItem> items_;
  std::vector<size_t> apart_;  ///< tiles whose splits are computed apart
};

class AttentionOperation : public CpuOperation {
 public:
  AttentionOperation(const AttentionShape& op, const TensorForms& forms) : op_(op), forms_(forms) {}

  size_t scratch_floats() const override { return AttentionRun::scratch_floats(op_); }

  void run(const StepContext& step) override { AttentionRun(step, op_, forms_, parts_).run(); }

 private:
  AttentionShape op_;
  TensorForms forms_;
  std::vector<float> parts_;  ///< results of splits computed apart, kept so that steps need not allocate
};

}  // namespace

std::unique_ptr<CpuOperation> make_attention(const Attention& op, const TensorForms& out) {
  return std::make_unique<AttentionOperation>(AttentionShape(op), out);
}
std::unique_ptr<CpuOperation> make_latent_attention(const LatentAttention& op, const TensorForms& out) {
  return std::make_unique<AttentionOperation>(AttentionShape(op), out);
}

}  // namespace hearth::cpu
