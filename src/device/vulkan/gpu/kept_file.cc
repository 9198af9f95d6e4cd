#include "device/vulkan/gpu/kept_file.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <atomic>
#include <fstream>
#include <system_error>

namespace hearth::vulkan {
namespace {

namespace fs = std::filesystem;

/// Different for every write of every process that shares the folder.
fs::path temporary_name(const fs::path& path) {
  static std::atomic<uint32_t> writes = 0;
  return fs::path(path).concat(fmt::format(".{}.{}", getpid(), ++writes));
}

}  // namespace

std::string kept_name(const GpuProperties& p, uint64_t code) {
  return fmt::format("{:04x}-{:04x}-{:08x}-{:02x}-{:016x}", p.vendor_id, p.device_id, p.driver_version,
                     fmt::join(p.pipeline_cache_uuid, ""), code);
}

Result<void> replace_file(const fs::path& path, std::span<const std::byte> bytes, std::string_view what) {
  std::error_code error;
  fs::create_directories(path.parent_path(), error);
  const fs::path temporary = temporary_name(path);
  std::ofstream file(temporary, std::ios::binary);
  file.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  file.close();
  if (file) fs::rename(temporary, path, error);
  if (file && !error) return {};
  std::error_code ignored;
  fs::remove(temporary, ignored);
  return fail(ErrorCode::io, fmt::format("{}: {} cannot be kept there", path.string(), what));
}

uint64_t hash_of(std::span<const std::byte> bytes, uint64_t hash) {
  for (const std::byte byte : bytes) hash = (hash ^ static_cast<uint64_t>(byte)) * 0x100000001b3;
  return hash;
}

}  // namespace hearth::vulkan
