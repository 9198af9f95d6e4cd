#pragma once

#include <CLI/CLI.hpp>

#include "engine/engine.h"

namespace hearth::app {

/// Adds what decides how much memory an engine takes and how large its steps are: --context, --max-sequences,
/// --max-batched-tokens and --kv-cache-mb. `options` outlives the command.
void add_engine_size_options(CLI::App& command, EngineOptions& options);

}  // namespace hearth::app
