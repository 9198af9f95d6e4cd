#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "device/explained_program.h"
#include "model/model.h"

namespace hearth::app {

/// How steps of up to `tokens` tokens and `sequences` sequences run on the model's device, as for serving: tunings that
/// are not kept yet are measured. Makes the device's cache. Empty where the device has one way for everything. Errors:
/// out_of_memory, unsupported, device_lost.
Result<std::vector<OperationChoice>> explain(Model& model, uint32_t tokens, uint32_t sequences);

/// For people: neighbouring counts of tokens that differ in nothing else are one line.
std::string choices_table(const std::vector<OperationChoice>& choices);

/// One object for each choice.
nlohmann::ordered_json choices_json(const std::vector<OperationChoice>& choices);

}  // namespace hearth::app
