#pragma once

#include <string>
#include <vector>

#include "device/device.h"

namespace hearth {

/// A device that is not here, for plans: it says what things would take on it, counts what is declared, and refuses to
/// hold or run anything (unsupported). Those who derive from it say what takes how much.
class AbsentDevice : public Device {
 public:
  struct Description {
    DeviceInfo info;
    DeviceMemory memory;                 ///< before anything is declared
    double bandwidth_gb_per_second = 0;  ///< that reading its memory reaches; 0 where nobody knows
  };

  explicit AbsentDevice(Description description) : description_(std::move(description)) {}

  const DeviceInfo& info() const override { return description_.info; }
  std::vector<DeviceMemory> memories() const override;
  Result<MatrixId> declare_matrix(const MatrixSpec& spec) override;
  Result<VectorId> upload_vector(const std::string& name, std::span<const float> values, uint32_t layer) override;
  uint64_t weight_bytes() const override { return weight_bytes_; }
  uint64_t matrix_bytes(MatrixId matrix) const override { return matrix_bytes_[matrix.index]; }
  double measure_bandwidth_gb_per_second() override { return description_.bandwidth_gb_per_second; }

  Result<void> write_rows(MatrixId matrix, uint32_t part, uint32_t first_row,
                          std::span<const std::byte> rows_bytes) override;
  void give_up_weights(const Error& /*why*/) override {}
  Result<void> create_cache(const CacheSpec& spec) override;
  Result<std::unique_ptr<Program>> compile(const Recording& recording, const ProgramLimits& limits,
                                           const CompileOptions& options) override;

 protected:
  virtual uint64_t vector_bytes(size_t values) const { return values * sizeof(float); }

 private:
  std::unexpected<Error> is_not_here() const;

  const Description description_;
  std::vector<uint64_t> matrix_bytes_;
  uint32_t vectors_ = 0;
  uint64_t weight_bytes_ = 0;
};

}  // namespace hearth
