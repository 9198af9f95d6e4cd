#pragma once

#include <CLI/CLI.hpp>

#include "engine/engine.h"
#include "model/place_layers.h"

namespace hearth::app {

/// Adds what decides how much memory an engine takes and how large its steps are: --context, --max-sequences,
/// --max-batched-tokens, --kv-cache-mb and --reserve. `options` outlives the command.
void add_engine_size_options(CLI::App& command, EngineOptions& options);

/// What must have room beside the weights for such an engine.
PlaceOptions room_for_engine(const EngineOptions& options, const LayerCut& cut = {});

}  // namespace hearth::app
