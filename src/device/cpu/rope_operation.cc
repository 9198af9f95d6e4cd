#include <algorithm>

#include "device/cpu/step_context.h"

namespace hearth::cpu {
namespace {

class RopeOperation : public CpuOperation {
 public:
  explicit RopeOperation(const RopeAndStore& op) : op_(op) {}

  size_t scratch_floats() const override { return op_.head_dim; }

  void run(const StepContext& step) override {
    step.for_rows(step.places.size(), [&](size_t token, float* scratch) {
      turn_queries(step, token);
      store_keys_and_values(step, token, scratch);
    });
  }

 private:
  /// from -> to, normed and turned; they may be the same.
  void turn(const StepContext& step, size_t token, const std::optional<VectorId>& norm, const float* from,
            float* to) const {
    if (norm) {
      step.kernels().rms_norm(from, step.storage.vectors[norm->index].data(), op_.epsilon, op_.head_dim, to);
    } else {
      std::copy_n(from, op_.head_dim, to);
    }
    if (op_.rope) step.kernels().rotate(to, step.rotations[op_.rope->index].at(token));
  }

  void turn_queries(const StepContext& step, size_t token) const {
    const float* from = step.activations.tensor(op_.qkv).row(token);
    float* const to = step.activations.tensor(op_.out).row(token);
    for (size_t h = 0; h < op_.heads; ++h)
      turn(step, token, op_.q_norm, from + h * op_.head_dim, to + h * op_.head_dim);
  }

  void store_keys_and_values(const StepContext& step, size_t token, float* scratch) const {
    const float* keys = step.activations.tensor(op_.qkv).row(token) + size_t{op_.heads} * op_.head_dim;
    const float* values = keys + size_t{op_.kv_heads} * op_.head_dim;
    const KvCache& cache = step.storage.cache;
    const TokenPlace place = step.places[token];
    const auto table = step.input.sequences[place.sequence].block_tables[cache.layer(op_.cache_layer.index).group];
    const auto block = static_cast<uint32_t>(table[place.position / kBlockTokens]);
    const size_t slot = place.position % kBlockTokens;
    for (uint32_t h = 0; h < op_.kv_heads; ++h) {
      turn(step, token, op_.k_norm, keys + size_t{h} * op_.head_dim, scratch);
      step.kernels().narrow(scratch, op_.head_dim, cache.keys(op_.cache_layer.index, block, h) + slot, kBlockTokens);
      step.kernels().narrow(values + size_t{h} * op_.head_dim, op_.head_dim,
                            cache.values(op_.cache_layer.index, block, h) + slot * op_.head_dim, 1);
    }
  }

  RopeAndStore op_;
};

}  // namespace

std::unique_ptr<CpuOperation> make_rope_and_store(const RopeAndStore& op) {
  return std::make_unique<RopeOperation>(op);
}

}  // namespace hearth::cpu
