#include "device/vulkan/pipelines/pipeline_cache_file.h"

#include <algorithm>
#include <cstring>

#include "base/file.h"
#include "device/vulkan/gpu/kept_file.h"

namespace hearth::vulkan {

PipelineCacheFile::PipelineCacheFile(const std::filesystem::path& folder, const GpuProperties& properties,
                                     uint64_t shaders) {
  header_.vendor_id = properties.vendor_id;
  header_.device_id = properties.device_id;
  header_.driver_version = properties.driver_version;
  header_.uuid = properties.pipeline_cache_uuid;
  header_.shaders = shaders;
  if (folder.empty()) return;
  path_ = folder / (kept_name(properties, shaders) + ".bin");
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
  std::vector<std::byte> bytes(sizeof(header) + data.size());
  std::memcpy(bytes.data(), &header, sizeof(header));
  std::ranges::copy(data, bytes.begin() + sizeof(header));
  return replace_file(path_, bytes, "compiled pipelines");
}

}  // namespace hearth::vulkan
