#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/thread_pool.h"
#include "device/cpu/activations.h"
#include "device/cpu/kernels/kernels.h"
#include "device/cpu/packed_matrix.h"
#include "device/cpu/paged_cache.h"
#include "device/cpu/product_offload.h"
#include "device/step.h"
#include "device/weight_arrival.h"

namespace hearth::cpu {

/// What the device holds and its programs use. Owned by the device.
struct CpuStorage {
  const Kernels& kernels;
  ThreadPool& pool;
  MemoryLedger& ledger;
  std::vector<PackedMatrix> matrices = {};
  std::vector<std::vector<float>> vectors = {};
  PagedCache cache = {};
  mutable WeightArrival arrival = {};
  ProductOffload* offload = nullptr;  ///< null where there is none
};

/// Where a token of the step belongs.
struct TokenPlace {
  uint32_t sequence;
  uint32_t position;
};

/// Cosines and sines of one rope for all tokens of a step: [tokens][pairs] each.
struct RotationTable {
  size_t pairs = 0;
  bool interleaved = false;
  std::vector<float> cosines;
  std::vector<float> sines;

  Rotation at(size_t token) const {
    return {cosines.data() + token * pairs, sines.data() + token * pairs, pairs, interleaved};
  }
};

/// A step in flight.
struct StepContext {
  const CpuStorage& storage;
  const ActivationMemory& activations;
  const StepInput& input;
  std::span<const TokenPlace> places;                 ///< [tokens]
  std::span<const RotationTable> rotations;           ///< by RopeId
  std::span<const std::unique_ptr<float[]>> scratch;  ///< [threads], of the largest scratch_floats()
  Offloading offloading = Offloading::as_known;

  const Kernels& kernels() const { return storage.kernels; }
  ThreadPool& pool() const { return storage.pool; }
  size_t rows(Rows rows) const { return rows == Rows::tokens ? input.token_ids.size() : input.logit_rows.size(); }
  size_t rows(const ActivationTensor& tensor) const { return rows(tensor.rows); }

  /// Lets the offload multiply the first `row_count` rows of `in`, where there is one that takes this product. False
  /// where the processor has to.
  bool offload(MatrixId weight, const ActivationTensor& in, size_t row_count, const TakeProducts& take) const {
    if (storage.offload == nullptr || offloading == Offloading::never) return false;
    if (offloading == Offloading::as_known && !storage.offload->takes(weight, row_count)) return false;
    return storage.offload->multiply(storage, weight, in.values, row_count, take);
  }

  /// The same work for each row, in chunks of rows that share no cache line of a panel.
  template <class F>
  void for_rows(size_t row_count, F&& f) const {
    size_t chunk = 16;
    if (row_count <= 64) chunk = (row_count / pool().threads() + 1) / 2 * 2;
    if (chunk < 2) chunk = 2;
    pool().parallel_for((row_count + chunk - 1) / chunk, [&](size_t index, unsigned thread) {
      const size_t end = std::min(row_count, (index + 1) * chunk);
      for (size_t row = index * chunk; row < end; ++row) f(row, scratch[thread].get());
    });
  }
};

/// One operation of a program, ready to run.
class CpuOperation {
 public:
  virtual ~CpuOperation() = default;
  /// Floats of scratch that each thread needs.
  virtual size_t scratch_floats() const { return 0; }
  virtual void run(const StepContext& step) = 0;
};

class ExpertBatches;

// Where an operation has `out` forms it fills the panels that are wanted along with the values, if those are wanted.

std::unique_ptr<CpuOperation> make_embed(const Embed& op, const TensorForms& out);
std::unique_ptr<CpuOperation> make_add_norm(const AddNorm& op, uint32_t width, const TensorForms& residual,
                                            const TensorForms& out);
std::unique_ptr<CpuOperation> make_activate(const Activate& op, uint32_t width, const TensorForms& out);
std::unique_ptr<CpuOperation> make_select_rows(const SelectRows& op, const TensorForms& out);
std::unique_ptr<CpuOperation> make_fill_panels(TensorId tensor, const TensorForms& forms);
std::unique_ptr<CpuOperation> make_linear(const Linear& op, bool may_be_offloaded);
std::unique_ptr<CpuOperation> make_logits(const Logits& op);
std::unique_ptr<CpuOperation> make_gate_up(const GateUp& op, const TensorForms& out);
std::unique_ptr<CpuOperation> make_route(const ChooseExperts& op);
/// `batches` serves all operations of a program, one after the other.
std::unique_ptr<CpuOperation> make_expert_gate_up(const ExpertGateUp& op, ExpertBatches& batches);
std::unique_ptr<CpuOperation> make_expert_linear(const ExpertLinear& op, ExpertBatches& batches);
std::unique_ptr<CpuOperation> make_combine_experts(const CombineExperts& op);
std::unique_ptr<CpuOperation> make_causal_convolution(const CausalConvolution& op);
std::unique_ptr<CpuOperation> make_linear_attention(const LinearAttention& op);
std::unique_ptr<CpuOperation> make_gated_norm(const GatedNorm& op);
std::unique_ptr<CpuOperation> make_gate(const Gate& op);
std::unique_ptr<CpuOperation> make_rope_and_store(const RopeAndStore& op);
std::unique_ptr<CpuOperation> make_attention(const Attention& op, const TensorForms& out);
std::unique_ptr<CpuOperation> make_store_latents(const StoreLatents& op);
std::unique_ptr<CpuOperation> make_head_linear(const HeadLinear& op, ExpertBatches& batches);
std::unique_ptr<CpuOperation> make_latent_attention(const LatentAttention& op, const TensorForms& out);

}  // namespace hearth::cpu
