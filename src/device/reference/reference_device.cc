#include "device/reference/reference_device.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <new>

#include "base/thread_pool.h"
#include "device/device_memory.h"
#include "device/inline_program.h"
#include "device/operation_timer.h"
#include "device/reference/reference_operations.h"
#include "device/reference/reference_storage.h"
#include "device/step_activations.h"
#include "device/step_results.h"
#include "device/weight_arrival.h"

namespace hearth {
namespace reference {
namespace {

class ReferenceProgram : public InlineProgram {
 public:
  ReferenceProgram(Recording recording, Storage& storage, AwaitedWeights awaited, ThreadPool& pool,
                   MemoryLedger& ledger, uint64_t bytes)
      : recording_(std::move(recording)),
        storage_(storage),
        awaited_(std::move(awaited)),
        pool_(pool),
        ledger_(ledger),
        entry_(ledger.enter(MemoryOwner::activations, bytes)),
        activations_(recording_.tensors.size()) {}

  std::vector<DeviceMemoryUse> memory_use() const override { return {{"reference", ledger_.now()}}; }

  Result<StepProfile> profile(const StepInput& input) override {
    StepProfile profile;
    OperationTimer timer(profile, recording_.operations.size());
    if (auto ready = prepare(input); !ready) return pass_on(ready);
    timer.skip();
    for (uint32_t i = 0; i < recording_.operations.size(); ++i) {
      run_operation(input, i);
      timer.add_to(i);
    }
    return profile;
  }

 private:
  Result<StepOutput> compute(const StepInput& input) override {
    if (auto ok = check_candidates(input); !ok) return pass_on(ok);
    if (auto ready = prepare(input); !ready) return pass_on(ready);
    const bool waits = awaited_.any();
    for (uint32_t i = 0; i < recording_.operations.size(); ++i) {
      if (waits) {
        if (auto came = awaited_.wait_for(i); !came) return pass_on(came);
      }
      run_operation(input, i);
    }
    StepOutput output;
    if (recording_.has_logits) {
      const uint32_t vocabulary = recording_.tensors[recording_.logits.index].width;
      output =
          results_.collect(input, activations_[recording_.logits.index], vocabulary, pool_, reference::best_candidates);
    }
    handed_on_.clear();
    for (const TensorId tensor : recording_.outputs) handed_on_.emplace_back(activations_[tensor.index]);
    output.activations = handed_on_;
    output.waited_for_weights = waits;
    return output;
  }

  Step step(const StepInput& input) { return {recording_, input, storage_, pool_, activations_}; }

  Result<void> prepare(const StepInput& input) {
    if (auto ok = check_activations(recording_, input); !ok) return ok;
    const Step sizes = step(input);
    for (uint32_t i = 0; i < activations_.size(); ++i) {
      activations_[i].resize(static_cast<size_t>(sizes.rows({i})) * sizes.width({i}));
    }
    for (size_t i = 0; i < recording_.inputs.size(); ++i) {
      std::ranges::copy(input.activations[i], activations_[recording_.inputs[i].index].begin());
    }
    return {};
  }

  void run_operation(const StepInput& input, uint32_t index) {
    std::visit([&](const auto& op) { reference::run(step(input), op); }, recording_.operations[index]);
  }

  Recording recording_;
  Storage& storage_;
  AwaitedWeights awaited_;
  ThreadPool& pool_;
  MemoryLedger& ledger_;
  MemoryLedger::Entry entry_;  ///< of the largest step
  std::vector<std::vector<float>> activations_;
  StepResults results_;
  std::vector<std::span<const float>> handed_on_;
};

class ReferenceDevice : public Device {
 public:
  explicit ReferenceDevice(uint32_t threads) : pool_(threads) {
    info_ = {"reference", "plain loops", fmt::format("float32, double sums, {} threads", pool_.threads()),
             pool_.threads()};
  }

  const DeviceInfo& info() const override { return info_; }

  std::vector<DeviceMemory> memories() const override { return {system_memory()}; }

  Result<uint64_t> declared_bytes(const MatrixSpec& spec) const override {
    uint64_t bytes = 0;
    for (const MatrixPart& part : spec.parts) bytes += part.rows * bytes_of(part.format, spec.cols);
    return bytes;
  }

  Result<MatrixId> declare_matrix(const MatrixSpec& spec) override {
    for (const MatrixPart& part : spec.parts) {
      if (spec.cols % traits(part.format).block_values != 0) {
        return fail(ErrorCode::unsupported, fmt::format("{}: {} columns are not whole blocks of {}", part.name,
                                                        spec.cols, traits(part.format).name));
      }
    }
    try {
      storage_.matrices.emplace_back(spec);
    } catch (const std::bad_alloc&) {
      return fail(ErrorCode::out_of_memory, fmt::format("{}: no memory for the weights", spec.parts[0].name));
    }
    const Matrix& added = storage_.matrices.back();
    weights_entry_.add(added.bytes());
    arrival_.add(added.rows(), added.bytes());
    return MatrixId{static_cast<uint32_t>(storage_.matrices.size() - 1)};
  }

  Result<void> write_rows(MatrixId matrix, uint32_t part, uint32_t first_row,
                          std::span<const std::byte> rows_bytes) override {
    Matrix& to = storage_.matrices[matrix.index];
    std::memcpy(to.part_row(part, first_row), rows_bytes.data(), rows_bytes.size());
    arrival_.note(matrix, rows_bytes.size() / to.row_bytes(part));
    return {};
  }

  void give_up_weights(const Error& why) override { arrival_.give_up(why); }

  Result<VectorId> upload_vector(const std::string&, std::span<const float> values, uint32_t) override {
    storage_.vectors.emplace_back(values.begin(), values.end());
    weights_entry_.add(values.size_bytes());
    return VectorId{static_cast<uint32_t>(storage_.vectors.size() - 1)};
  }

  uint64_t weight_bytes() const override { return ledger_.now().of(MemoryOwner::weights); }

  uint64_t matrix_bytes(MatrixId matrix) const override { return storage_.matrices[matrix.index].bytes(); }

  uint64_t cache_block_bytes(const CacheLayerSpec& layer) const override {
    return hearth::cache_block_bytes(layer, sizeof(float));
  }

  Result<void> create_cache(const CacheSpec& spec) override {
    storage_.cache = Cache(CacheSpec{});
    cache_entry_ = {};
    try {
      storage_.cache = Cache(spec);
      cache_entry_ = ledger_.enter(MemoryOwner::cache, cache_bytes(spec));
    } catch (const std::bad_alloc&) {
      return fail(ErrorCode::out_of_memory, "no memory for the KV cache", "ask for a shorter context");
    }
    return {};
  }

  Result<std::unique_ptr<Program>> compile(const Recording& recording, const ProgramLimits& limits,
                                           const CompileOptions& options) override {
    const uint64_t bytes = *program_bytes(recording, {}, limits);
    auto awaited = options.weights_arrive ? AwaitedWeights(recording, arrival_) : AwaitedWeights();
    return std::make_unique<ReferenceProgram>(recording, storage_, std::move(awaited), pool_, ledger_, bytes);
  }

  Result<uint64_t> program_bytes(const Recording& recording, std::span<const MatrixSpec>,
                                 const ProgramLimits& limits) const override {
    uint64_t values = 0;
    for (const ActivationSpec& tensor : recording.tensors) {
      values += uint64_t{tensor.rows == Rows::tokens ? limits.tokens : limits.logit_rows} * tensor.width;
    }
    return values * sizeof(float);
  }

  double measure_bandwidth_gb_per_second() override { return 0; }

 private:
  uint64_t cache_bytes(const CacheSpec& spec) const {
    uint64_t bytes = 0;
    for (const CacheLayerSpec& layer : spec.layers) {
      bytes += cache_block_bytes(layer) * spec.blocks_per_group[layer.group];
    }
    return bytes;
  }

  DeviceInfo info_;
  ThreadPool pool_;
  MemoryLedger ledger_;
  MemoryLedger::Entry weights_entry_ = ledger_.enter(MemoryOwner::weights), cache_entry_;
  Storage storage_;
  WeightArrival arrival_;
};

}  // namespace
}  // namespace reference

std::unique_ptr<Device> open_reference_device(uint32_t threads) {
  return std::make_unique<reference::ReferenceDevice>(threads);
}

}  // namespace hearth
