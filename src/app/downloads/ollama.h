#pragma once

#include <filesystem>
#include <optional>
#include <vector>

#include "app/downloads/downloaded_model.h"
#include "app/downloads/model_name.h"
#include "base/result.h"

namespace hearth::app {

// Ollama's folder of models: manifests/HOST/NAMESPACE/MODEL/TAG is a JSON file (an image manifest as container
// registries have it) whose layers are files blobs/sha256-...; the one with weights is a GGUF file. A name leaves out
// the host registry.ollama.ai, the namespace library, and may leave out the tag latest.

std::vector<DownloadedModel> ollama_models(const std::filesystem::path& folder);

/// Whether a folder is such a one.
bool is_ollama_folder(const std::filesystem::path& folder);

/// What `name` means here, whether or not it is whole; nothing where there is no manifest of that name.
std::optional<DownloadedModel> find_in_ollama(const std::filesystem::path& folder, const ModelName& name);

}  // namespace hearth::app
