#pragma once

#include <string>

#include "device/vulkan/pipelines/pipelines.h"

namespace hearth::vulkan {

/// A pipeline for people and for sorting: its shader and specialisation constants by the names that they have in the
/// shader's source, such as "linear_few q4_0 threads=128 tokens=1 rows=4 split=1 unroll=1".
/// Switches are named where they are on.
std::string pipeline_name(const PipelineKey& key);

/// The value of a key's constant by its name in the shader, such as "ENCODING"; 0 where the shader has none.
uint32_t constant_of(const PipelineKey& key, std::string_view name);

/// Whether the pipeline multiplies with a weight matrix.
bool is_matmul(const PipelineKey& key);

/// Whether it does so with weights in an encoding of blocks of bytes, and not in a plain one.
bool multiplies_bytes(const PipelineKey& key);

}  // namespace hearth::vulkan
