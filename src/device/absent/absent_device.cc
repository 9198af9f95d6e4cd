#include "device/absent/absent_device.h"

#include <fmt/format.h>

#include "device/device_memory.h"

namespace hearth {

std::vector<DeviceMemory> AbsentDevice::memories() const {
  DeviceMemory memory = description_.memory;
  take_off(memory, weight_bytes_);
  return {memory};
}

Result<MatrixId> AbsentDevice::declare_matrix(const MatrixSpec& spec) {
  auto bytes = declared_bytes(spec);
  if (!bytes) return pass_on(bytes);
  matrix_bytes_.push_back(*bytes);
  weight_bytes_ += *bytes;
  return MatrixId{static_cast<uint32_t>(matrix_bytes_.size() - 1)};
}

Result<VectorId> AbsentDevice::upload_vector(const std::string&, std::span<const float> values, uint32_t) {
  weight_bytes_ += vector_bytes(values.size());
  return VectorId{vectors_++};
}

Result<void> AbsentDevice::write_rows(MatrixId, uint32_t, uint32_t, std::span<const std::byte>) {
  return is_not_here();
}

Result<void> AbsentDevice::create_cache(const CacheSpec&) { return is_not_here(); }

Result<std::unique_ptr<Program>> AbsentDevice::compile(const Recording&, const ProgramLimits&, const CompileOptions&) {
  return is_not_here();
}

std::unexpected<Error> AbsentDevice::is_not_here() const {
  return fail(ErrorCode::unsupported, fmt::format("{} is not here; it can only be planned for", info().name));
}

}  // namespace hearth
