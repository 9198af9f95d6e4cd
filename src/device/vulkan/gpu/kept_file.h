#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>

#include "base/result.h"
#include "device/vulkan/gpu/gpu_properties.h"

// Files in which what was found out about a device outlives the process.
namespace hearth::vulkan {

/// The name, without its end, of what holds for one device, driver and `code`, a hash of what else it depends on.
std::string kept_name(const GpuProperties& properties, uint64_t code);

/// Replaces the file at once, so that another process reads the old or the new one; makes its folder. Errors: io, in
/// which `what` cannot be kept.
Result<void> replace_file(const std::filesystem::path& path, std::span<const std::byte> bytes, std::string_view what);

/// 64-bit FNV-1a; `hash` continues an earlier one.
uint64_t hash_of(std::span<const std::byte> bytes, uint64_t hash = 0xcbf29ce484222325);

}  // namespace hearth::vulkan
