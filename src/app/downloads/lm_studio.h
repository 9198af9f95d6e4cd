#pragma once

#include <filesystem>
#include <optional>
#include <vector>

#include "app/downloads/downloaded_model.h"
#include "app/downloads/model_name.h"
#include "base/result.h"

namespace hearth::app {

// LM Studio keeps the files of a hub's repository in PUBLISHER/REPOSITORY below its folder of models; what it is still
// downloading ends with .part.

/// The folders of models of whoever has this home: what settings.json names as downloadsFolder in the folder that
/// ~/.lmstudio-home-pointer names, `models` there, in ~/.lmstudio and, as older versions had it, in
/// ~/.cache/lm-studio. Those that are not there are left out, but for the usual one where none is.
std::vector<std::filesystem::path> lm_studio_folders(const std::filesystem::path& home);

std::vector<DownloadedModel> lm_studio_models(const std::filesystem::path& folder);

/// What `name` means here, whether or not it is whole; nothing where there is no such repository, or a revision is
/// asked for. Errors: those of choose_model.
Result<std::optional<DownloadedModel>> find_in_lm_studio(const std::filesystem::path& folder, const ModelName& name);

}  // namespace hearth::app
