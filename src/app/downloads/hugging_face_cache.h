#pragma once

#include <filesystem>
#include <optional>
#include <vector>

#include "app/downloads/downloaded_model.h"
#include "app/downloads/model_name.h"
#include "base/result.h"

namespace hearth::app {

// The cache of Hugging Face's libraries, which vLLM, llama.cpp and others share (huggingface.co/docs/hub/local-cache):
// models--ORG--NAME has refs/BRANCH, a file with a commit; snapshots/COMMIT with the files of that commit as links; and
// blobs with their bytes, where what is still being downloaded ends with .incomplete. A link is made when its bytes are
// all there.

/// Every model of the cache: those of branch main, or of the only snapshot where no such branch is known, under their
/// plain names; those of other commits as NAME@COMMIT, where they have all their files.
std::vector<DownloadedModel> hugging_face_models(const std::filesystem::path& hub);

/// Whether a folder is a repository of models in such a cache, by its name and what is in it.
bool is_hugging_face_repository(const std::filesystem::path& folder);
std::vector<DownloadedModel> hugging_face_repository_models(const std::filesystem::path& folder);

/// What `name` means here, whether or not it is whole; nothing where the cache has no such repository. Errors:
/// not_found for a revision or a file of it that is not there, and those of choose_model.
Result<std::optional<DownloadedModel>> find_in_hugging_face(const std::filesystem::path& hub, const ModelName& name);

}  // namespace hearth::app
