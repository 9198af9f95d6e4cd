#include <algorithm>

#include "device/cpu/step_context.h"

namespace hearth::cpu {
namespace {

class StoreLatentsOperation : public CpuOperation {
 public:
  explicit StoreLatentsOperation(const StoreLatents& op) : op_(op) {}

  size_t scratch_floats() const override { return op_.latent_dim + op_.rope_dim; }

  void run(const StepContext& step) override {
    step.for_rows(step.places.size(), [&](size_t token, float* scratch) {
      turn_queries(step, token);
      store_row(step, token, scratch);
    });
  }

 private:
  Rotation rotation(const StepContext& step, size_t token) const { return step.rotations[op_.rope.index].at(token); }

  void turn_queries(const StepContext& step, size_t token) const {
    const float* from = step.activations.tensor(op_.query).row(token) + op_.nope_dim;
    float* to = step.activations.tensor(op_.out).row(token) + op_.latent_dim;
    for (uint32_t h = 0; h < op_.heads; ++h) {
      std::copy_n(from, op_.rope_dim, to);
      step.kernels().rotate(to, rotation(step, token));
      from += op_.nope_dim + op_.rope_dim;
      to += op_.latent_dim + op_.rope_dim;
    }
  }

  void store_row(const StepContext& step, size_t token, float* scratch) const {
    const float* latents = step.activations.tensor(op_.latents).row(token);
    const uint32_t width = op_.latent_dim + op_.rope_dim;
    step.kernels().rms_norm(latents, step.storage.vectors[op_.norm.index].data(), op_.epsilon, op_.latent_dim, scratch);
    std::copy_n(latents + op_.latent_dim, op_.rope_dim, scratch + op_.latent_dim);
    step.kernels().rotate(scratch + op_.latent_dim, rotation(step, token));
    const PagedCache& cache = step.storage.cache;
    const TokenPlace place = step.places[token];
    const auto table = step.input.sequences[place.sequence].block_tables[cache.layer(op_.cache_layer.index).group];
    const auto block = static_cast<uint32_t>(table[place.position / kBlockTokens]);
    const size_t slot = place.position % kBlockTokens;
    step.kernels().narrow(scratch, width, cache.rows(op_.cache_layer.index, block) + slot * width, 1);
  }

  StoreLatents op_;
};

}  // namespace

std::unique_ptr<CpuOperation> make_store_latents(const StoreLatents& op) {
  return std::make_unique<StoreLatentsOperation>(op);
}

}  // namespace hearth::cpu
