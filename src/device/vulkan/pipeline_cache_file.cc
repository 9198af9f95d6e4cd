#include "device/vulkan/pipeline_cache_file.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <fstream>
#include <system_error>

#include "base/file.h"

namespace hearth::vulkan {
namespace {

namespace fs = std::filesystem;

/// Different for every write of every process that shares the folder.
fs::path temporary_name(const fs::path& path) {
  static std::atomic<uint32_t> writes = 0;
  return fs::path(path).concat(fmt::format(".{}.{}", getpid(), ++writes));
}

}  // namespace

PipelineCacheFile::PipelineCacheFile(const fs::path& folder, const GpuProperties& properties, uint64_t shaders) {
  header_.vendor_id = properties.vendor_id;
  header_.device_id = properties.device_id;
  header_.driver_version = properties.driver_version;
  header_.uuid = properties.pipeline_cache_uuid;
  header_.shaders = shaders;
  if (folder.empty()) return;
  path_ = folder / fmt::format("{:04x}-{:04x}-{:08x}-{:02x}-{:016x}.bin", header_.vendor_id, header_.device_id,
                               header_.driver_version, fmt::join(header_.uuid, ""), shaders);
}

uint64_t PipelineCacheFile::hash_of(std::span<const std::byte> bytes, uint64_t hash) {
  for (const std::byte byte : bytes) hash = (hash ^ static_cast<uint64_t>(byte)) * 0x100000001b3;
  return hash;
}

std::vector<std::byte> PipelineCacheFile::read() const {
  if (path_.empty()) return {};
  const auto file = read_whole_file(path_);
  if (!file || file->size() < sizeof(Header)) return {};
  Header found;
  std::memcpy(&found, file->data(), sizeof(found));
  const auto data = std::as_bytes(std::span(*file)).subspan(sizeof(Header));
  Header expected = header_;
  expected.data_bytes = data.size();
  expected.data_hash = hash_of(data);
  if (found != expected) return {};
  return {data.begin(), data.end()};
}

Result<void> PipelineCacheFile::write(std::span<const std::byte> data) const {
  if (path_.empty()) return {};
  Header header = header_;
  header.data_bytes = data.size();
  header.data_hash = hash_of(data);
  std::error_code error;
  fs::create_directories(path_.parent_path(), error);
  const fs::path temporary = temporary_name(path_);
  std::ofstream file(temporary, std::ios::binary);
  file.write(reinterpret_cast<const char*>(&header), sizeof(header));
  file.write(reinterpret_cast<const char*>(data.data()), static_cast<std::streamsize>(data.size()));
  file.close();
  if (file) fs::rename(temporary, path_, error);
  if (file && !error) return {};
  std::error_code ignored;
  fs::remove(temporary, ignored);
  return fail(ErrorCode::io, fmt::format("{}: compiled pipelines cannot be kept there", path_.string()));
}

}  // namespace hearth::vulkan
