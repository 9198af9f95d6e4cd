#include <algorithm>
#include <cmath>

#include "device/cpu/step_context.h"

namespace hearth::cpu {
namespace {

class RopeOperation : public CpuOperation {
 public:
  explicit RopeOperation(const RopeAndStore& op) : op_(op), ones_(op.v_norm ? op.head_dim : 0, 1.0F) {}

  size_t scratch_floats() const override { return size_t{op_.kv_heads + 1} * op_.head_dim; }

  void run(const StepContext& step) override {
    step.for_rows(step.places.size(), [&](size_t token, float* scratch) {
      turn_queries(step, token);
      if (op_.kv_heads > 0) store_keys_and_values(step, token, scratch);
    });
  }

 private:
  /// `heads` heads, from -> to, normed and turned.
  void make_heads(const StepContext& step, size_t token, uint32_t heads, const std::optional<VectorId>& norm,
                  const float* from, float* to) const {
    std::copy_n(from, size_t{heads} * op_.head_dim, to);
    if (op_.norm_after_rope) turn(step, token, heads, to);
    if (norm) {
      const float* weight = step.storage.vectors[norm->index].data();
      const uint32_t parts = op_.head_norm == HeadNorm::all_heads ? 1 : heads;
      const size_t width = size_t{heads} * op_.head_dim / parts;
      for (uint32_t i = 0; i < parts; ++i) {
        float* const part = to + i * width;
        if (op_.head_norm == HeadNorm::layer_norms) {
          step.kernels().layer_norm(part, weight + i * width, nullptr, op_.epsilon, width, part);
        } else {
          step.kernels().rms_norm(part, weight, op_.epsilon, width, part);
        }
      }
    }
    if (!op_.norm_after_rope) turn(step, token, heads, to);
  }

  void turn(const StepContext& step, size_t token, uint32_t heads, float* to) const {
    if (!op_.rope) return;
    const Rotation rotation = step.rotations[op_.rope->index].at(token);
    for (uint32_t h = 0; h < heads; ++h) step.kernels().rotate(to + size_t{h} * op_.head_dim, rotation);
  }

  void turn_queries(const StepContext& step, size_t token) const {
    float* const to = step.activations.tensor(op_.out).row(token);
    make_heads(step, token, op_.heads, op_.q_norm, step.activations.tensor(op_.qkv).row(token), to);
    if (op_.query_growth == 0) return;
    const uint32_t position = step.places[token].position + op_.query_growth_shift;
    const uint32_t periods = position / op_.query_growth_positions;
    const auto grown = static_cast<float>(1.0 + op_.query_growth * std::log1p(periods));
    step.kernels().scale_and_cap(to, size_t{op_.heads} * op_.head_dim, grown, 0.0F);
  }

  void store_keys_and_values(const StepContext& step, size_t token, float* scratch) const {
    const float* keys = step.activations.tensor(op_.qkv).row(token) + size_t{op_.heads} * op_.head_dim;
    const float* values = keys + (op_.values_are_keys ? 0 : size_t{op_.kv_heads} * op_.head_dim);
    float* const value = scratch + size_t{op_.kv_heads} * op_.head_dim;
    make_heads(step, token, op_.kv_heads, op_.k_norm, keys, scratch);
    const PagedCache& cache = step.storage.cache;
    const TokenPlace place = step.places[token];
    const auto table = step.input.sequences[place.sequence].block_tables[cache.layer(op_.cache_layer.index).group];
    const auto block = static_cast<uint32_t>(table[place.position / kBlockTokens]);
    const size_t slot = place.position % kBlockTokens;
    for (uint32_t h = 0; h < op_.kv_heads; ++h) {
      const size_t head = size_t{h} * op_.head_dim;
      step.kernels().narrow(scratch + head, op_.head_dim, cache.keys(op_.cache_layer.index, block, h) + slot,
                            kBlockTokens);
      if (op_.v_norm) step.kernels().rms_norm(values + head, ones_.data(), op_.epsilon, op_.head_dim, value);
      step.kernels().narrow(op_.v_norm ? value : values + head, op_.head_dim,
                            cache.values(op_.cache_layer.index, block, h) + slot * op_.head_dim, 1);
    }
  }

  RopeAndStore op_;
  std::vector<float> ones_;  ///< the weight of V's norm
};

}  // namespace

std::unique_ptr<CpuOperation> make_rope_and_store(const RopeAndStore& op) {
  return std::make_unique<RopeOperation>(op);
}

}  // namespace hearth::cpu
