#pragma once

#include <CLI/CLI.hpp>
#include <chrono>
#include <string>

#include "app/downloads/download_places.h"
#include "app/model_directory.h"
#include "base/result.h"

namespace hearth::app {

/// Adds MODEL, one of them, to a command that needs it.
void add_model_argument(CLI::App& command, std::string& model);

/// What MODEL on the command line stands for: the path that it is where something lies there, or a model that another
/// tool has downloaded under that name; the name is then what clients call it, else empty. A text that can only be a
/// path is returned as one, whatever is there. Asks the disk. Errors: those of find_download.
Result<FoundModel> find_model(const std::string& text, const DownloadRoots& roots);

/// The same with the environment's roots, and no longer than the disk answers (timed_out). Lines of the log say what
/// was taken and where else it lies.
Result<FoundModel> find_model(const std::string& text, std::chrono::seconds patience);

}  // namespace hearth::app
