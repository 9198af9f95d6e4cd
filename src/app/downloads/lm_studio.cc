#include "app/downloads/lm_studio.h"

#include <algorithm>
#include <string>

#include "app/downloads/disk_questions.h"
#include "app/downloads/repository_files.h"
#include "base/file.h"
#include "base/json.h"

namespace hearth::app {
namespace {

namespace fs = std::filesystem;

/// A path that a file of LM Studio's has, which must be a whole one; or empty.
fs::path path_of(std::string text) {
  constexpr std::string_view kBlanks = " \t\r\n";
  text.erase(0, text.find_first_not_of(kBlanks));
  text.erase(text.find_last_not_of(kBlanks) + 1);
  const fs::path path(text);
  return path.is_absolute() && text.find('\0') == text.npos ? path : fs::path();
}

fs::path folder_in_settings(const fs::path& home) {
  constexpr uint64_t kMostBytes = 4u << 20;
  const fs::path path = home / "settings.json";
  const auto text = read_whole_file(path, kMostBytes);
  if (!text) return {};
  const auto settings = parse_json(*text, path.native());
  if (!settings || !settings->is_object()) return {};
  const auto folder = settings->find("downloadsFolder");
  return folder != settings->end() && folder->is_string() ? path_of(folder->get<std::string>()) : fs::path();
}

Unfinished unfinished_in(const fs::path& folder) {
  Unfinished unfinished;
  for (const fs::path& path : entries_of(folder)) {
    if (path.extension() != ".part") continue;
    ++unfinished.files;
    unfinished.bytes += file_bytes(path);
  }
  return unfinished;
}

}  // namespace

std::vector<fs::path> lm_studio_folders(const fs::path& home) {
  if (home.empty()) return {};
  constexpr uint64_t kMostBytes = 4096;
  const fs::path usual = home / ".lmstudio";
  const auto pointer = read_whole_file(home / ".lmstudio-home-pointer", kMostBytes);
  const fs::path pointed = pointer ? path_of(*pointer) : fs::path();
  std::vector<fs::path> folders;
  const auto add = [&](const fs::path& folder) {
    if (!folder.empty() && is_folder(folder) && std::ranges::find(folders, folder) == folders.end()) {
      folders.push_back(folder);
    }
  };
  for (const fs::path& each : {pointed, usual, home / ".cache/lm-studio"}) {
    if (each.empty()) continue;
    add(folder_in_settings(each));
    add(each / "models");
  }
  if (folders.empty()) folders.push_back(usual / "models");
  return folders;
}

std::vector<DownloadedModel> lm_studio_models(const fs::path& folder) {
  std::vector<DownloadedModel> found;
  for (const fs::path& publisher : entries_of(folder)) {
    for (const fs::path& repository : entries_of(publisher)) {
      const std::string name = publisher.filename().native() + "/" + repository.filename().native();
      const auto parsed = ModelName::parse(name);
      if (!parsed || parsed->repository != name) continue;
      const Unfinished unfinished = unfinished_in(repository);
      for (const RepositoryModel& model : models_of_repository(repository)) {
        found.push_back(downloaded_model(model, repository, name, Tool::lm_studio, unfinished));
      }
    }
  }
  return found;
}

Result<std::optional<DownloadedModel>> find_in_lm_studio(const fs::path& folder, const ModelName& name) {
  if (name.parts() != 2 || !name.revision.empty()) return std::nullopt;
  const fs::path repository = folder / name.repository;
  if (!is_folder(repository)) return std::nullopt;
  const Unfinished unfinished = unfinished_in(repository);
  const auto models = models_of_repository(repository);
  if (models.empty()) return without_weights(repository, name.repository, Tool::lm_studio, unfinished);
  const auto chosen = choose_model(models, name.choice, name.repository);
  if (!chosen) return std::unexpected(chosen.error());
  return downloaded_model(*chosen, repository, name.repository, Tool::lm_studio, unfinished);
}

}  // namespace hearth::app
