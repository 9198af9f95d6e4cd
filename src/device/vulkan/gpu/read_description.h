#pragma once

#include <nlohmann/json.hpp>

#include "base/result.h"
#include "device/vulkan/gpu/gpu_properties.h"

namespace hearth::vulkan {

/// Properties from what describe() made of them, as far as anybody needs them who lays things out for a GPU that is not
/// here: what describe() leaves out stays as in GpuProperties(). Where matrices of f16 are listed, the places of their
/// elements are taken as known. Errors: invalid_argument.
Result<GpuProperties> read_description(const nlohmann::json& described);

}  // namespace hearth::vulkan
