#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "app/downloads/downloaded_model.h"
#include "base/result.h"

namespace hearth::app {

/// A model among the files of a repository, as a hub has it: the folder itself with config.json and safetensors, or one
/// of its GGUF files.
struct RepositoryModel {
  std::string label;           ///< empty for the folder; else the file's quantization, or its name where that says more
  std::filesystem::path file;  ///< as seen from the folder, the first of a split one; empty for the folder
  uint64_t bytes = 0;          ///< of its weights, as far as they are there
  std::vector<std::string> lacks;  ///< its files that are not there
  std::string problem;
};

/// Whether a file of this name may be a model or a part of one, and no projector of images and no statistics of
/// activations, which are GGUF files, too.
bool is_weights_name(std::string_view file_name);

/// All models in a folder and in two levels of folders below: the folder first, then GGUF files, with labels that
/// differ from one another whatever their letters' size.
std::vector<RepositoryModel> models_of_repository(const std::filesystem::path& folder);

/// The model that `choice` means: a file's name with or without .gguf, a label, or what stands between separators in
/// one file's name, such as a quantization; without a choice the folder, or the only file. `name` is the repository's
/// in errors. Errors: invalid_argument where several are meant, not_found where none is; both list what there is.
Result<RepositoryModel> choose_model(std::span<const RepositoryModel> models, std::string_view choice,
                                     std::string_view name);

/// As what it is called: `name`, which may have a revision, and its label.
DownloadedModel downloaded_model(const RepositoryModel& model, const std::filesystem::path& folder,
                                 const std::string& name, Tool tool, const Unfinished& unfinished);

/// A repository of which no model is there yet.
DownloadedModel without_weights(const std::filesystem::path& folder, const std::string& name, Tool tool,
                                const Unfinished& unfinished);

}  // namespace hearth::app
