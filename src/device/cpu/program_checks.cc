#include "device/cpu/program_checks.h"

#include <fmt/format.h>

#include <algorithm>

#include "device/step_results.h"

namespace hearth::cpu {
namespace {

/// Checks of one operation; each names what does not fit.
class OperationCheck {
 public:
  OperationCheck(const Recording& recording, const CpuStorage& storage) : recording_(recording), storage_(storage) {}

  Result<void> operator()(const Embed& op) const {
    if (auto ok = matrix("an embedding", op.table, width(op.out), {}); !ok) return ok;
    return {};
  }

  Result<void> operator()(const AddNorm& op) const {
    const uint32_t whole = width(op.residual), w = op.part > 0 ? op.part : whole;
    if (whole % w != 0) return misfit("a residual in parts", whole, w);
    if (op.branch && width(*op.branch) != whole) return misfit("a branch", width(*op.branch), whole);
    if (op.out && width(*op.out) != whole) return misfit("a norm's output", width(*op.out), whole);
    if (auto ok = vector("a post-norm", op.post_norm, w); !ok) return ok;
    if (auto ok = vector("a norm's bias", op.norm_bias, w); !ok) return ok;
    return vector("a norm", op.norm, w);
  }

  Result<void> operator()(const Linear& op) const {
    if (auto ok = matrix("a linear layer", op.weight, width(op.in), width(op.out)); !ok) return ok;
    return vector("a bias", op.bias, width(op.out));
  }

  Result<void> operator()(const Activate& op) const {
    if (width(op.in) == width(op.out)) return {};
    return misfit("activated rows", width(op.out), width(op.in));
  }

  Result<void> operator()(const GateUp& op) const {
    if (auto ok = matrix("gate and up", op.gate_up, width(op.in), 2 * width(op.out)); !ok) return ok;
    const auto& parts = storage_.matrices[op.gate_up.index].parts();
    if (parts.size() != 2 || parts[0].rows != parts[1].rows) {
      return fail(ErrorCode::internal, "gate and up are not two parts of equal size");
    }
    return vector("a bias of gate and up", op.bias, 2 * width(op.out));
  }

  Result<void> operator()(const ChooseExperts& op) const {
    if (width(op.scores) != op.experts) return misfit("a router's scores", width(op.scores), op.experts);
    if (width(op.out) != 2 * op.chosen) return misfit("routes", width(op.out), 2 * op.chosen);
    const bool fits = op.chosen > 0 && op.chosen <= op.experts && op.groups > 0 && op.experts % op.groups == 0 &&
                      op.chosen_groups > 0 && op.chosen_groups <= op.groups;
    if (!fits) return fail(ErrorCode::internal, "a router chooses more than there is");
    if (auto ok = vector("experts' scales", op.expert_scales, op.experts); !ok) return ok;
    return vector("a router's correction", op.correction, op.experts);
  }

  Result<void> operator()(const ExpertGateUp& op) const {
    if (op.chosen == 0 || width(op.out) % op.chosen != 0) return misfit("experts' rows", width(op.out), op.chosen);
    const uint32_t rows = op.experts * (width(op.out) / op.chosen);
    if (auto ok = experts("experts' gates", op.gate, width(op.in), rows, op.experts); !ok) return ok;
    if (auto ok = experts("experts' ups", op.up, width(op.in), rows, op.experts); !ok) return ok;
    if (op.gate_bias.has_value() != op.up_bias.has_value())
      return fail(ErrorCode::internal, "gates or ups have a bias");
    if (auto ok = vector("a bias of experts' gates", op.gate_bias, rows); !ok) return ok;
    if (auto ok = vector("a bias of experts' ups", op.up_bias, rows); !ok) return ok;
    // One gathering of the input serves both.
    return is_integer(op.gate) == is_integer(op.up) ? Result<void>{} : mixed_experts();
  }

  Result<void> operator()(const ExpertLinear& op) const {
    if (op.chosen == 0 || width(op.out) % op.chosen != 0) return misfit("experts' rows", width(op.out), op.chosen);
    const uint32_t rows = op.experts * (width(op.out) / op.chosen);
    if (auto ok = vector("a bias of experts", op.bias, rows); !ok) return ok;
    const uint32_t columns = op.same_input ? width(op.in) : width(op.in) / op.chosen;
    return experts("experts' weights", op.weight, columns, rows, op.experts);
  }

  Result<void> operator()(const CombineExperts& op) const {
    const uint32_t whole = op.chosen * width(op.out);
    if (width(op.in) != whole) return misfit("experts' rows", width(op.in), whole);
    if (op.shared && width(*op.shared) != width(op.out)) return misfit("shared rows", width(*op.shared), width(op.out));
    return {};
  }

  Result<void> operator()(const CausalConvolution& op) const {
    const uint32_t columns = (op.gated ? 3 : 1) * op.channels;
    if (op.first + columns > width(op.in)) return misfit("a convolution's input", width(op.in), op.first + columns);
    if (width(op.out) != op.channels) return misfit("a convolution's output", width(op.out), op.channels);
    if (op.kernel < 2 || op.kernel > kMostConvolutionRows) {
      return fail(ErrorCode::unsupported, fmt::format("a convolution over {} tokens", op.kernel));
    }
    if (auto ok = vector("a convolution's weight", op.weight, op.kernel * op.channels); !ok) return ok;
    if (auto ok = vector("a convolution's bias", op.bias, op.channels); !ok) return ok;
    return state(op.layer, op.state_first, uint64_t{op.kernel - 1} * op.channels);
  }

  Result<void> operator()(const LinearAttention& op) const {
    if (op.key_heads == 0 || op.heads % op.key_heads != 0) {
      return fail(ErrorCode::unsupported, fmt::format("{} heads cannot share {} key heads", op.heads, op.key_heads));
    }
    const uint32_t keys = op.key_heads * op.key_dim, values = op.heads * op.value_dim;
    const uint32_t columns = std::max({op.q_first + keys, op.k_first + keys, op.v_first + values});
    if (columns > width(op.in)) return misfit("q, k and v", width(op.in), columns);
    const bool has_b = op.rule == StateRule::gated_delta;
    for (uint32_t head = 0; head < op.heads; ++head) {
      const uint32_t column = std::max(op.a_column(head), has_b ? op.b_column(head) : 0);
      if (column >= width(op.rates)) return misfit("a state's rates", width(op.rates), column + 1);
    }
    if (width(op.out) != values) return misfit("a state's answers", width(op.out), values);
    for (const auto& [what, id] :
         {std::pair{"decay rates", std::optional(op.decay_rate)}, std::pair{"step biases", std::optional(op.step_bias)},
          std::pair{"skips", op.skip}}) {
      if (auto ok = vector(what, id, op.heads); !ok) return ok;
    }
    return state(op.layer, op.state_first, uint64_t{op.heads} * op.key_dim * op.value_dim);
  }

  Result<void> operator()(const GatedNorm& op) const {
    const uint32_t w = width(op.out);
    if (width(op.in) != w) return misfit("a gated norm's output", w, width(op.in));
    if (op.first + w > width(op.gates)) return misfit("gates", width(op.gates), op.first + w);
    if (op.group == 0 || w % op.group != 0) return misfit("groups of a norm", op.group, w);
    return vector("a gated norm's weight", op.weight, op.weight_for_each_group ? w : op.group);
  }

  Result<void> operator()(const Gate& op) const {
    if (op.first + width(op.out) > width(op.in)) return misfit("gated rows", width(op.in), op.first + width(op.out));
    if (op.activation == Activation::xielu) return fail(ErrorCode::internal, "xielu gates nothing");
    if (width(op.gate) == width(op.out) || width(op.gate) == 1) return {};
    return misfit("a gate", width(op.gate), width(op.out));
  }

  Result<void> operator()(const RopeAndStore& op) const {
    const uint32_t rows = op.row_heads() * op.head_dim;
    if (width(op.qkv) != rows) return misfit("Q, K and V", width(op.qkv), rows);
    if (op.rope) {
      const uint32_t turned = 2 * static_cast<uint32_t>(recording_.ropes[op.rope->index].inverse_frequencies.size());
      if (turned > op.head_dim) return misfit("a rotary embedding", turned, op.head_dim);
    }
    const bool each = op.head_norm == HeadNorm::each_head;
    if (auto ok = vector("a query norm", op.q_norm, (each ? 1 : op.heads) * op.head_dim); !ok) return ok;
    if (auto ok = vector("a key norm", op.k_norm, (each ? 1 : op.kv_heads) * op.head_dim); !ok) return ok;
    if (op.kv_heads == 0) return queries(op.heads, op.head_dim, width(op.out));
    return heads(op.heads, op.kv_heads, op.head_dim, op.cache_layer.index, width(op.out));
  }

  Result<void> operator()(const Attention& op) const {
    if (auto ok = vector("the sinks", op.sinks, op.heads); !ok) return ok;
    if (width(op.query) != op.heads * op.head_dim) return misfit("a query", width(op.query), op.heads * op.head_dim);
    return heads(op.heads, op.kv_heads, op.head_dim, op.cache_layer.index, width(op.out));
  }

  Result<void> operator()(const StoreLatents& op) const {
    const uint32_t width = op.latent_dim + op.rope_dim;
    if (this->width(op.latents) != width) return misfit("latents", this->width(op.latents), width);
    const uint32_t heads = op.heads * (op.nope_dim + op.rope_dim);
    if (this->width(op.query) != heads) return misfit("queries", this->width(op.query), heads);
    const auto pairs = static_cast<uint32_t>(recording_.ropes[op.rope.index].inverse_frequencies.size());
    if (2 * pairs > op.rope_dim) return misfit("a rotary embedding", 2 * pairs, op.rope_dim);
    if (auto ok = vector("a latent's norm", op.norm, op.latent_dim); !ok) return ok;
    return latents(op.heads, width, op.cache_layer.index, this->width(op.out));
  }

  Result<void> operator()(const HeadLinear& op) const {
    if (op.heads == 0 || op.weight.index >= storage_.matrices.size()) return misfit("heads", op.heads, 1);
    const PackedMatrix& matrix = storage_.matrices[op.weight.index];
    if (auto ok = experts("heads' weights", op.weight, matrix.cols(), matrix.rows(), op.heads); !ok) return ok;
    const uint32_t in = width(op.in) / op.heads, out = width(op.out) / op.heads, rows = matrix.rows() / op.heads;
    if (in < matrix.cols()) return misfit("a head's values", in, matrix.cols());
    if (out < rows || (op.fills_shares && out != rows)) return misfit("a head's products", out, rows);
    return {};
  }

  Result<void> operator()(const LatentAttention& op) const {
    if (width(op.out) != op.heads * op.value_dim) return misfit("attention's rows", width(op.out), op.heads);
    if (op.value_dim == 0 || op.value_dim % 16 != 0 || op.width % 16 != 0 || op.value_dim > op.width) {
      return fail(
          ErrorCode::unsupported,
          fmt::format("latents of {} dimensions in rows of {}: the CPU takes multiples of 16", op.value_dim, op.width),
          "use --device reference");
    }
    return latents(op.heads, op.width, op.cache_layer.index, width(op.query));
  }

  Result<void> operator()(const SelectRows& op) const {
    if (width(op.in) == width(op.out)) return {};
    return misfit("selected rows", width(op.out), width(op.in));
  }

  Result<void> operator()(const Logits& op) const { return matrix("the head", op.head, width(op.in), width(op.out)); }

 private:
  uint32_t width(TensorId id) const { return recording_.tensors[id.index].width; }

  static Result<void> misfit(const char* what, uint32_t is, uint32_t should) {
    return fail(ErrorCode::internal, fmt::format("{} of width {} where {} is needed", what, is, should));
  }

  Result<void> matrix(const char* what, MatrixId id, uint32_t cols, std::optional<uint32_t> rows) const {
    if (id.index >= storage_.matrices.size()) return fail(ErrorCode::internal, fmt::format("{} has no matrix", what));
    const PackedMatrix& matrix = storage_.matrices[id.index];
    if (matrix.cols() != cols) return misfit(what, matrix.cols(), cols);
    if (rows && matrix.rows() != *rows) return misfit(what, matrix.rows(), *rows);
    return {};
  }

  bool is_integer(MatrixId id) const {
    return tile_layout(storage_.matrices[id.index].parts().front().encoding).is_integer();
  }
  static Result<void> mixed_experts() {
    return fail(ErrorCode::unsupported, "experts of which some have block encodings and others have not",
                "use --device reference");
  }

  /// Of each expert either a part, or whole tiles in the one part of all.
  Result<void> experts(const char* what, MatrixId id, uint32_t cols, uint32_t rows, uint32_t count) const {
    if (auto ok = matrix(what, id, cols, rows); !ok) return ok;
    const auto& all = storage_.matrices[id.index].parts();
    const size_t parts = all.size();
    for (const PackedPart& part : all) {
      if (tile_layout(part.encoding).is_integer() != is_integer(id)) return mixed_experts();
    }
    if (parts == count || (parts == 1 && rows / count % kTileRows == 0)) return {};
    return fail(ErrorCode::unsupported,
                fmt::format("experts of {} rows in one tensor: the CPU takes multiples of {}", rows / count, kTileRows),
                "use --device reference");
  }

  Result<void> vector(const char* what, const std::optional<VectorId>& id, uint32_t size) const {
    if (!id) return {};
    if (id->index >= storage_.vectors.size()) return fail(ErrorCode::internal, fmt::format("{} has no vector", what));
    const auto is = static_cast<uint32_t>(storage_.vectors[id->index].size());
    if (is != size) return misfit(what, is, size);
    return {};
  }

  Result<void> state(CacheLayerId id, uint32_t first, uint64_t values) const {
    const PagedCache& cache = storage_.cache;
    const State* state = id.index < cache.layer_count() ? std::get_if<State>(&cache.layer(id.index).kind) : nullptr;
    if (state != nullptr && first + values <= state->values) return {};
    return fail(ErrorCode::internal, fmt::format("layer {} keeps no state of {} values", id.index, first + values));
  }

  static Result<void> queries(uint32_t heads, uint32_t head_dim, uint32_t out_width) {
    if (head_dim == 0 || head_dim % 16 != 0) {
      return fail(ErrorCode::unsupported,
                  fmt::format("attention heads of {} dimensions: the CPU takes multiples of 16", head_dim),
                  "use --device reference");
    }
    return out_width == heads * head_dim ? Result<void>{} : misfit("attention's rows", out_width, heads * head_dim);
  }

  Result<void> heads(uint32_t heads, uint32_t kv_heads, uint32_t head_dim, uint32_t cache_layer,
                     uint32_t out_width) const {
    if (kv_heads == 0 || heads % kv_heads != 0) {
      return fail(ErrorCode::unsupported, fmt::format("{} query heads cannot share {} KV heads", heads, kv_heads));
    }
    if (auto ok = queries(heads, head_dim, out_width); !ok) return ok;
    if (cache_layer >= storage_.cache.layer_count()) {
      return fail(ErrorCode::internal, fmt::format("the KV cache has no layer {}", cache_layer));
    }
    const auto* kv = std::get_if<KeysAndValues>(&storage_.cache.layer(cache_layer).kind);
    if (kv != nullptr && kv->kv_heads == kv_heads && kv->head_dim == head_dim) return {};
    return fail(ErrorCode::internal,
                fmt::format("layer {} of the KV cache has not {} heads of {}", cache_layer, kv_heads, head_dim));
  }

  Result<void> latents(uint32_t heads, uint32_t width, uint32_t cache_layer, uint32_t query_width) const {
    if (query_width != heads * width) return misfit("latent queries", query_width, heads * width);
    if (cache_layer >= storage_.cache.layer_count()) {
      return fail(ErrorCode::internal, fmt::format("the cache has no layer {}", cache_layer));
    }
    const auto* rows = std::get_if<LatentRows>(&storage_.cache.layer(cache_layer).kind);
    if (rows != nullptr && rows->width == width) return {};
    return fail(ErrorCode::internal, fmt::format("layer {} of the cache has no latent rows of {}", cache_layer, width));
  }

  const Recording& recording_;
  const CpuStorage& storage_;
};

Result<void> check_state_blocks(std::span<const int32_t> table, size_t index, uint32_t group, uint32_t blocks) {
  const auto is_block = [&](int32_t block) { return block >= 0 && static_cast<uint32_t>(block) < blocks; };
  if (table.size() == 2 && (table[0] == -1 || is_block(table[0])) && is_block(table[1])) return {};
  return fail(ErrorCode::internal,
              fmt::format("sequence {}: group {} needs the blocks of the states before and after", index, group));
}

Result<void> check_sequence(const SequenceInput& sequence, size_t index, const PagedCache& cache,
                            std::span<const CacheReader> readers) {
  if (sequence.token_count == 0) return fail(ErrorCode::internal, fmt::format("sequence {} has no tokens", index));
  const uint32_t last = sequence.context_tokens + sequence.token_count - 1;
  for (const CacheReader& reader : readers) {
    if (reader.state && reader.group < sequence.block_tables.size()) {
      const auto table = sequence.block_tables[reader.group];
      if (auto ok = check_state_blocks(table, index, reader.group, cache.block_count(reader.group)); !ok) return ok;
      continue;
    }
    if (reader.group >= sequence.block_tables.size() ||
        sequence.block_tables[reader.group].size() <= last / kBlockTokens) {
      return fail(ErrorCode::internal,
                  fmt::format("sequence {}: the block table of group {} is too short for position {}", index,
                              reader.group, last));
    }
    const auto table = sequence.block_tables[reader.group];
    const uint32_t seen = sequence.context_tokens + 1;
    const uint32_t first = reader.window > 0 && seen > reader.window ? seen - reader.window : 0;
    for (uint32_t b = first / kBlockTokens; b <= last / kBlockTokens; ++b) {
      if (table[b] >= 0 && static_cast<uint32_t>(table[b]) < cache.block_count(reader.group)) continue;
      return fail(ErrorCode::internal, fmt::format("sequence {}: group {} has block {} for positions from {} on", index,
                                                   reader.group, table[b], b * kBlockTokens));
    }
  }
  return {};
}

}  // namespace

Result<void> check_recording(const Recording& recording, const CpuStorage& storage) {
  const OperationCheck check(recording, storage);
  for (const Operation& operation : recording.operations) {
    if (auto ok = std::visit(check, operation); !ok) return ok;
  }
  return {};
}

Result<void> check_step(const StepInput& input, const ProgramLimits& limits, const PagedCache& cache,
                        std::span<const CacheReader> readers, uint32_t vocabulary) {
  if (input.token_ids.size() > limits.tokens || input.logit_rows.size() > limits.logit_rows ||
      input.sequences.size() > limits.sequences) {
    return fail(ErrorCode::internal,
                fmt::format("a step of {} tokens, {} sequences and {} rows of logits exceeds {}, {} and {}",
                            input.token_ids.size(), input.sequences.size(), input.logit_rows.size(), limits.tokens,
                            limits.sequences, limits.logit_rows));
  }
  if (auto ok = check_candidates(input); !ok) return ok;
  for (const int32_t id : input.token_ids) {
    if (vocabulary == 0) break;  // nothing looks at tokens
    if (id < 0 || static_cast<uint32_t>(id) >= vocabulary) {
      return fail(ErrorCode::internal, fmt::format("token {} is outside the vocabulary of {}", id, vocabulary));
    }
  }
  for (const uint32_t row : input.logit_rows) {
    if (row >= input.token_ids.size())
      return fail(ErrorCode::internal, fmt::format("there is no row {} of logits", row));
  }
  size_t covered = 0;
  for (size_t s = 0; s < input.sequences.size(); ++s) {
    const SequenceInput& sequence = input.sequences[s];
    if (sequence.first_token != covered) {
      return fail(ErrorCode::internal,
                  fmt::format("sequence {} begins at row {}, not {}", s, sequence.first_token, covered));
    }
    covered += sequence.token_count;
    if (auto ok = check_sequence(sequence, s, cache, readers); !ok) return ok;
  }
  if (covered == input.token_ids.size()) return {};
  return fail(ErrorCode::internal, fmt::format("the sequences cover {} of {} tokens", covered, input.token_ids.size()));
}

}  // namespace hearth::cpu
