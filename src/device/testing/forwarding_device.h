#pragma once

#include <memory>
#include <utility>

#include "device/device.h"

namespace hearth {

/// Does all that another device does, but for what a test overrides.
class ForwardingDevice : public Device {
 public:
  explicit ForwardingDevice(std::unique_ptr<Device> device) : device_(std::move(device)) {}

  const DeviceInfo& info() const override { return device_->info(); }
  std::vector<DeviceMemory> memories() const override { return device_->memories(); }
  uint32_t memory_of(uint32_t layer) const override { return device_->memory_of(layer); }
  Result<uint64_t> declared_bytes(const MatrixSpec& spec) const override { return device_->declared_bytes(spec); }
  Result<MatrixId> declare_matrix(const MatrixSpec& spec) override { return device_->declare_matrix(spec); }
  Result<void> write_rows(MatrixId matrix, uint32_t part, uint32_t first_row,
                          std::span<const std::byte> rows_bytes) override {
    return device_->write_rows(matrix, part, first_row, rows_bytes);
  }
  void give_up_weights(const Error& why) override { device_->give_up_weights(why); }
  Result<VectorId> upload_vector(const std::string& name, std::span<const float> values, uint32_t layer) override {
    return device_->upload_vector(name, values, layer);
  }
  uint64_t weight_bytes() const override { return device_->weight_bytes(); }
  uint64_t matrix_bytes(MatrixId matrix) const override { return device_->matrix_bytes(matrix); }
  uint64_t cache_block_bytes(const CacheLayerSpec& layer) const override { return device_->cache_block_bytes(layer); }
  Result<void> create_cache(const CacheSpec& spec) override { return device_->create_cache(spec); }
  Result<std::unique_ptr<Program>> compile(const Recording& recording, const ProgramLimits& limits,
                                           const CompileOptions& options) override {
    return device_->compile(recording, limits, options);
  }
  Result<uint64_t> program_bytes(const Recording& recording, std::span<const MatrixSpec> matrices,
                                 const ProgramLimits& limits) const override {
    return device_->program_bytes(recording, matrices, limits);
  }
  uint64_t staging_bytes(const Recording& recording, const ProgramLimits& limits,
                         std::span<const uint32_t> blocks_per_group) const override {
    return device_->staging_bytes(recording, limits, blocks_per_group);
  }
  double measure_bandwidth_gb_per_second() override { return device_->measure_bandwidth_gb_per_second(); }

 private:
  const std::unique_ptr<Device> device_;
};

}  // namespace hearth
