#include "device/cpu/cpu_device.h"

#include <fmt/format.h>

#include "base/thread_pool.h"
#include "device/cpu/bandwidth.h"
#include "device/cpu/cpu_isa.h"
#include "device/cpu/program.h"
#include "device/device_memory.h"

namespace hearth {
namespace cpu {
namespace {

class CpuDevice : public Device {
 public:
  CpuDevice(const Kernels& kernels, uint32_t threads, std::unique_ptr<ProductOffload> offload)
      : pool_(threads), storage_{kernels, pool_, ledger_}, offload_(std::move(offload)) {
    info_ = {"cpu", processor_name(), fmt::format("{}, {} threads", kernels.name, pool_.threads()), pool_.threads()};
    if (offload_ == nullptr) return;
    storage_.offload = offload_.get();
    info_.kind = offload_->kind();
    info_.description += ", " + offload_->description();
  }

  const DeviceInfo& info() const override { return info_; }

  /// Memory of rows is taken from the system when they are written.
  std::vector<DeviceMemory> memories() const override {
    DeviceMemory memory = system_memory();
    take_off(memory, storage_.arrival.missing_bytes());
    if (offload_ != nullptr) take_off(memory, offload_->promised_bytes());
    return {memory};
  }

  Result<uint64_t> declared_bytes(const MatrixSpec& spec) const override {
    auto matrix = PackedMatrix::lay_out(spec);
    if (!matrix) return pass_on(matrix);
    return matrix->bytes();
  }

  Result<MatrixId> declare_matrix(const MatrixSpec& spec) override {
    auto matrix = PackedMatrix::create(spec, weights_);
    if (!matrix) return pass_on(matrix);
    let_be_offloaded(*matrix, spec.role);
    weights_entry_.add(matrix->bytes());
    storage_.arrival.add(matrix->rows(), matrix->bytes());
    storage_.matrices.push_back(std::move(*matrix));
    return MatrixId{static_cast<uint32_t>(storage_.matrices.size() - 1)};
  }

  Result<void> write_rows(MatrixId matrix, uint32_t part, uint32_t first_row,
                          std::span<const std::byte> rows_bytes) override {
    if (matrix.index >= storage_.matrices.size()) {
      return fail(ErrorCode::internal, fmt::format("matrix {} was never declared", matrix.index));
    }
    PackedMatrix& to = storage_.matrices[matrix.index];
    if (auto written = to.write_rows(part, first_row, rows_bytes); !written) return written;
    storage_.arrival.note(matrix, rows_bytes.size() / bytes_of(to.parts()[part].format, to.cols()));
    return {};
  }

  void give_up_weights(const Error& why) override { storage_.arrival.give_up(why); }

  Result<VectorId> upload_vector(const std::string&, std::span<const float> values, uint32_t) override {
    storage_.vectors.emplace_back(values.begin(), values.end());
    weights_entry_.add(values.size_bytes());
    return VectorId{static_cast<uint32_t>(storage_.vectors.size() - 1)};
  }

  uint64_t weight_bytes() const override { return ledger_.now().of(MemoryOwner::weights); }

  uint64_t matrix_bytes(MatrixId matrix) const override { return storage_.matrices[matrix.index].bytes(); }

  uint64_t cache_block_bytes(const CacheLayerSpec& layer) const override { return PagedCache::block_bytes(layer); }

  Result<void> create_cache(const CacheSpec& spec) override {
    storage_.cache = {};
    cache_entry_ = {};
    auto cache = PagedCache::create(spec);
    if (!cache) return pass_on(cache);
    storage_.cache = std::move(*cache);
    cache_entry_ = ledger_.enter(MemoryOwner::cache, storage_.cache.bytes());
    return {};
  }

  Result<std::unique_ptr<Program>> compile(const Recording& recording, const ProgramLimits& limits,
                                           const CompileOptions& options) override {
    return compile_program(recording, limits, options.weights_arrive, storage_);
  }

  Result<uint64_t> program_bytes(const Recording& recording, std::span<const MatrixSpec> specs,
                                 const ProgramLimits& limits) const override {
    CpuStorage planned{storage_.kernels, storage_.pool, storage_.ledger};
    for (const MatrixSpec& spec : specs) {
      auto matrix = PackedMatrix::lay_out(spec);
      if (!matrix) return pass_on(matrix);
      let_be_offloaded(*matrix, spec.role);
      planned.matrices.push_back(std::move(*matrix));
    }
    return planned_bytes(recording, limits, planned);
  }

  double measure_bandwidth_gb_per_second() override { return measure_read_bandwidth(pool_); }

 private:
  void let_be_offloaded(PackedMatrix& matrix, MatrixRole role) const {
    const bool is_product = role == MatrixRole::stacked || role == MatrixRole::gate_up;
    if (offload_ != nullptr && is_product) matrix.let_be_offloaded();
  }

  DeviceInfo info_;
  ThreadPool pool_;
  MemoryLedger ledger_;
  MemoryLedger::Entry weights_entry_ = ledger_.enter(MemoryOwner::weights), cache_entry_;
  Arena weights_;
  CpuStorage storage_;
  std::unique_ptr<ProductOffload> offload_;
};

}  // namespace
}  // namespace cpu

Result<std::unique_ptr<Device>> open_cpu_device(uint32_t threads, std::unique_ptr<cpu::ProductOffload> offload) {
  auto kernels = cpu::choose_kernels();
  if (!kernels) return pass_on(kernels);
  return std::make_unique<cpu::CpuDevice>(**kernels, threads, std::move(offload));
}

}  // namespace hearth
