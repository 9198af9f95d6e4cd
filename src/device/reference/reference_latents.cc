#include <algorithm>

#include "device/reference/reference_operations.h"

namespace hearth::reference {

void run(const Step& step, const StoreLatents& op) {
  Cache& cache = step.storage.cache;
  const uint32_t group = cache.group(op.cache_layer.index);
  const RopeSpec& rope = step.recording.ropes[op.rope.index];
  for_each_token(step, [&](uint32_t t, const SequenceInput& sequence, uint32_t position) {
    const auto row = cache.rows(op.cache_layer.index, slot_of(sequence.block_tables[group], position));
    std::ranges::copy(step.row(op.latents, t), row.begin());
    const auto latent = row.first(op.latent_dim);
    rms_norm(latent, step.storage.vectors[op.norm.index], op.epsilon, latent);
    rotate(rope, position, row.subspan(op.latent_dim));
    for (uint32_t h = 0; h < op.heads; ++h) {
      const size_t head_dim = op.nope_dim + op.rope_dim, width = op.latent_dim + op.rope_dim;
      const auto from = step.row(op.query, t).subspan(h * head_dim + op.nope_dim, op.rope_dim);
      const auto to = step.row(op.out, t).subspan(h * width + op.latent_dim, op.rope_dim);
      std::ranges::copy(from, to.begin());
      rotate(rope, position, to);
    }
  });
}

void run(const Step& step, const HeadLinear& op) {
  const Matrix& weight = step.storage.matrices[op.weight.index];
  const size_t outputs = weight.rows() / op.heads;
  const size_t in_share = step.width(op.in) / op.heads, out_share = step.width(op.out) / op.heads;
  step.pool.parallel_for(weight.rows(), [&](size_t r, unsigned) {
    std::vector<float> row(weight.cols());
    weight.read_row(static_cast<uint32_t>(r), row);
    const size_t head = r / outputs;
    for (uint32_t t = 0; t < step.rows(op.in); ++t) {
      const auto in = step.row(op.in, t).subspan(head * in_share, row.size());
      step.row(op.out, t)[head * out_share + r % outputs] = static_cast<float>(dot(in, row));
    }
  });
}

void run(const Step& step, const LatentAttention& op) {
  Cache& cache = step.storage.cache;
  const uint32_t layer = op.cache_layer.index, group = cache.group(layer);
  for_each_token(step, [&](uint32_t t, const SequenceInput& sequence, uint32_t position) {
    const auto row = [&](uint32_t p) { return cache.rows(layer, slot_of(sequence.block_tables[group], p)); };
    for (uint32_t h = 0; h < op.heads; ++h) {
      const auto query = step.row(op.query, t).subspan(size_t{h} * op.width, op.width);
      const auto score = [&](uint32_t p) { return op.scale * dot(query, row(p)); };
      attend(0, position + 1, -INFINITY, score, row,
             step.row(op.out, t).subspan(size_t{h} * op.value_dim, op.value_dim));
    }
  });
}

}  // namespace hearth::reference
