#pragma once

#include <cstddef>
#include <cstdint>

/// What the amdxdna driver is asked and answers, byte for byte: Linux's include/uapi/drm/amdxdna_accel.h (6.14, and
/// what was added until 6.19; AMD's own driver has the same layouts), and DRM_IOCTL_VERSION of include/uapi/drm/drm.h.
/// Written down here as Debian 12's kernel headers do not have it yet.
namespace hearth::npu_protocol {

/// A request number for a structure that the driver reads and writes (asm-generic/ioctl.h's _IOWR).
constexpr uint32_t request_number(char type, uint32_t number, size_t bytes) {
  return 3U << 30 | static_cast<uint32_t>(bytes) << 16 | static_cast<uint32_t>(type) << 8 | number;
}

/// Which structure DRM_IOCTL_AMDXDNA_GET_INFO is asked for (enum amdxdna_drm_get_param).
enum class Parameter : uint32_t {
  aie_metadata = 1,
  clocks = 3,
  firmware_version = 8,
  power_mode = 9,
  resources = 12,  // since 6.19; older drivers answer EOPNOTSUPP
};

/// struct amdxdna_drm_get_info
struct GetInfo {
  uint32_t parameter = 0;
  uint32_t buffer_bytes = 0;
  uint64_t buffer = 0;  // address
};
static_assert(sizeof(GetInfo) == 16);

/// struct amdxdna_drm_query_aie_tile_metadata
struct TileMetadata {
  uint16_t row_count, row_start, dma_channels, locks, event_registers, padding[3];
};
static_assert(sizeof(TileMetadata) == 16);

/// struct amdxdna_drm_query_aie_metadata
struct AieMetadata {
  uint32_t column_bytes;  // of status registers, not of memory
  uint16_t columns, rows;
  uint32_t version_major, version_minor;
  TileMetadata core, memory, shim;
};
static_assert(sizeof(AieMetadata) == 64 && offsetof(AieMetadata, core) == 16);

/// struct amdxdna_drm_query_clock_metadata, of two struct amdxdna_drm_query_clock
struct Clock {
  uint8_t name[16];
  uint32_t megahertz, padding;
};
struct Clocks {
  Clock npu, array;
};
static_assert(sizeof(Clocks) == 48);

/// struct amdxdna_drm_query_firmware_version
struct FirmwareVersion {
  uint32_t major, minor, patch, build;
};
static_assert(sizeof(FirmwareVersion) == 16);

/// struct amdxdna_drm_get_power_mode: 0 default, 1 low, 2 medium, 3 high, 4 turbo
struct PowerMode {
  uint8_t mode, padding[7];
};
static_assert(sizeof(PowerMode) == 8);

/// struct amdxdna_drm_get_resource_info
struct Resources {
  uint64_t clock_max_megahertz, tops_max, contexts_max, tops_now, contexts_now;
};
static_assert(sizeof(Resources) == 40);

/// struct drm_version: the driver fills as much of each text as its buffer holds, and says how long it is.
struct DriverVersion {
  int32_t major = 0, minor = 0, patch = 0;
  uint64_t name_bytes = 0, name = 0, date_bytes = 0, date = 0, description_bytes = 0, description = 0;
};
static_assert(sizeof(DriverVersion) == 64 && offsetof(DriverVersion, name_bytes) == 16);

constexpr uint32_t kGetInfo = request_number('d', 0x47, sizeof(GetInfo));
constexpr uint32_t kGetVersion = request_number('d', 0x00, sizeof(DriverVersion));
static_assert(kGetInfo == 0xC0106447 && kGetVersion == 0xC0406400);

}  // namespace hearth::npu_protocol
