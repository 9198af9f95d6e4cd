#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "app/downloads/downloaded_model.h"
#include "app/downloads/model_name.h"
#include "base/result.h"

namespace hearth::app {

/// Where this user's tools keep what they download, as far as the environment says it. Empty paths are nowhere.
struct DownloadRoots {
  std::filesystem::path home;                 ///< below which LM Studio says where
  std::filesystem::path hugging_face;         ///< HF_HUB_CACHE, or hub in HF_HOME, or ~/.cache/huggingface/hub
  std::vector<std::filesystem::path> ollama;  ///< OLLAMA_MODELS, or ~/.ollama/models and that of its service
};

/// `variable` gives an environment variable's value, empty where it is not set.
DownloadRoots download_roots(const std::function<std::string(const char*)>& variable);

/// The same from the process's environment.
DownloadRoots download_roots();

/// A folder in which one tool keeps models.
struct DownloadPlace {
  Tool tool = Tool::hugging_face;
  std::filesystem::path folder;
};

/// In the order in which they are searched. Asks the disk where LM Studio's models are.
std::vector<DownloadPlace> download_places(const DownloadRoots& roots);

/// Every model of a place that has a name, whole or not.
std::vector<DownloadedModel> models_of(const DownloadPlace& place);

/// A model that was found by its name.
struct FoundDownload {
  DownloadedModel model;
  std::vector<DownloadedModel> others;  ///< of the same name in other places, whole or not
};

/// The first whole model in the places that `name` means. Errors: not_found where there is none, which names the
/// nearest one and the places, or where none is whole, which names what is missing; invalid_argument where a place has
/// several that it may mean; unsupported for one that cannot be used.
Result<FoundDownload> find_download(const ModelName& name, const std::vector<DownloadPlace>& places);

}  // namespace hearth::app
