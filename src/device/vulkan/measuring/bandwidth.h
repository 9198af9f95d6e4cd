#pragma once

#include "device/vulkan/pipelines/pipelines.h"

namespace hearth::vulkan {

/// GB/s at which a shader reads device memory: the median of several passes over a buffer of about `bytes`, which
/// should be many times the caches. Errors: unsupported (no timestamps), out_of_memory, internal (it did not read
/// everything).
Result<double> measure_read_bandwidth(Gpu& gpu, Pipelines& pipelines, uint64_t bytes);

}  // namespace hearth::vulkan
