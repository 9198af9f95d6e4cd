#include "app/downloads/hugging_face_cache.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>

#include "app/downloads/disk_questions.h"
#include "app/downloads/repository_files.h"
#include "base/attribute_file.h"
#include "base/printable.h"

namespace hearth::app {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kModels = "models--", kSeparator = "--";
constexpr size_t kShownDigits = 12;  // of a commit

bool is_commit(std::string_view text) {
  constexpr size_t kFewest = 4, kMost = 64;
  return text.size() >= kFewest && text.size() <= kMost &&
         text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

/// "org/name" of models--org--name; empty for anything else.
std::string repository_of(const fs::path& folder) {
  std::string name = folder.filename().native();
  if (!name.starts_with(kModels)) return {};
  name.erase(0, kModels.size());
  if (const size_t at = name.find(kSeparator); at != name.npos) {
    name = name.substr(0, at) + "/" + name.substr(at + kSeparator.size());
  }
  const auto parsed = ModelName::parse(name);
  return parsed && parsed->repository == name ? name : std::string();
}

/// The commits of which there are files, sorted.
std::vector<std::string> commits_of(const fs::path& folder) {
  std::vector<std::string> commits;
  for (const fs::path& path : entries_of(folder / "snapshots")) {
    if (is_commit(path.filename().native()) && is_folder(path)) commits.push_back(path.filename().native());
  }
  return commits;
}

/// What a branch or a tag stands for; empty where it is not known.
std::string commit_of(const fs::path& folder, const std::string& revision) {
  const std::string commit = read_attribute(folder / "refs" / revision).value_or("");
  return is_commit(commit) ? commit : std::string();
}

Unfinished unfinished_in(const fs::path& folder) {
  Unfinished unfinished;
  for (const fs::path& path : entries_of(folder / "blobs")) {
    if (path.extension() != ".incomplete") continue;
    ++unfinished.files;
    unfinished.bytes += file_bytes(path);
  }
  return unfinished;
}

/// The commit that a plain name means, or empty.
std::string main_commit(const fs::path& folder, const std::vector<std::string>& commits) {
  std::string commit = commit_of(folder, "main");
  if (commit.empty() && commits.size() == 1) commit = commits.front();
  return commit;
}

std::string names_of_commits(const std::string& repository, const std::vector<std::string>& commits) {
  std::vector<std::string> names;
  for (const std::string& commit : commits) names.push_back(repository + "@" + commit.substr(0, kShownDigits));
  return list_some(names);
}

Result<std::string> find_commit(const fs::path& folder, const ModelName& name) {
  const std::vector<std::string> commits = commits_of(folder);
  std::string commit;
  if (name.revision.empty()) {
    commit = main_commit(folder, commits);
    if (commit.empty() && !commits.empty()) {
      return fail(ErrorCode::invalid_argument,
                  fmt::format("{} is in {} without a branch main", name.repository, name_of(Tool::hugging_face)),
                  fmt::format("say which commit: {}", names_of_commits(name.repository, commits)));
    }
  } else {
    commit = commit_of(folder, name.revision);
    if (commit.empty()) {
      const auto begins = [&](const std::string& each) { return each.starts_with(name.revision); };
      if (std::ranges::count_if(commits, begins) == 1) commit = *std::ranges::find_if(commits, begins);
    }
  }
  if (std::ranges::find(commits, commit) != commits.end()) return commit;
  const std::string revision = name.revision.empty() ? "main" : name.revision;
  return fail(ErrorCode::not_found,
              fmt::format("{} has no files of {} in {}", name.repository, revision, name_of(Tool::hugging_face)),
              commits.empty() ? fmt::format("download it with `hf download {}`", name.repository)
                              : fmt::format("there is {}", names_of_commits(name.repository, commits)));
}

std::vector<DownloadedModel> models_of_snapshot(const fs::path& folder, const std::string& commit,
                                                const std::string& name, const Unfinished& unfinished) {
  const fs::path snapshot = folder / "snapshots" / commit;
  std::vector<DownloadedModel> models;
  for (const RepositoryModel& model : models_of_repository(snapshot)) {
    models.push_back(downloaded_model(model, snapshot, name, Tool::hugging_face, unfinished));
  }
  return models;
}

/// Where another commit has all of what is not whole here, its name.
std::string whole_elsewhere(const fs::path& folder, const std::string& commit, const std::string& repository,
                            const std::string& label) {
  for (const std::string& other : commits_of(folder)) {
    if (other == commit) continue;
    const std::string name = repository + "@" + other.substr(0, kShownDigits);
    for (const DownloadedModel& model : models_of_snapshot(folder, other, name, {})) {
      if (model.is_whole() && model.name == name + (label.empty() ? "" : ":" + label)) return model.name;
    }
  }
  return {};
}

}  // namespace

bool is_hugging_face_repository(const fs::path& folder) {
  return !repository_of(folder).empty() && is_folder(folder / "snapshots");
}

std::vector<DownloadedModel> hugging_face_repository_models(const fs::path& folder) {
  const std::string repository = repository_of(folder);
  if (repository.empty()) return {};
  const std::vector<std::string> commits = commits_of(folder);
  const std::string main = main_commit(folder, commits);
  const Unfinished unfinished = unfinished_in(folder);
  std::vector<DownloadedModel> found;
  if (!main.empty()) found = models_of_snapshot(folder, main, repository, unfinished);
  if (found.empty() && unfinished.files > 0) {
    found.push_back(without_weights(folder / "snapshots" / main, repository, Tool::hugging_face, unfinished));
  }
  for (const std::string& commit : commits) {
    if (commit == main) continue;
    for (DownloadedModel& model :
         models_of_snapshot(folder, commit, repository + "@" + commit.substr(0, kShownDigits), unfinished)) {
      if (model.is_whole()) found.push_back(std::move(model));
    }
  }
  return found;
}

std::vector<DownloadedModel> hugging_face_models(const fs::path& hub) {
  std::vector<DownloadedModel> found;
  for (const fs::path& folder : entries_of(hub)) {
    for (DownloadedModel& model : hugging_face_repository_models(folder)) found.push_back(std::move(model));
  }
  return found;
}

Result<std::optional<DownloadedModel>> find_in_hugging_face(const fs::path& hub, const ModelName& name) {
  std::string folder_name = name.repository;
  if (const size_t slash = folder_name.find('/'); slash != folder_name.npos) {
    folder_name.replace(slash, 1, kSeparator);
  }
  const fs::path folder = hub / (std::string(kModels) + folder_name);
  // A part with "--" would be taken for two.
  if (name.parts() > 2 || repository_of(folder) != name.repository || !is_folder(folder)) return std::nullopt;
  const auto commit = find_commit(folder, name);
  if (!commit) return std::unexpected(commit.error());

  const fs::path snapshot = folder / "snapshots" / *commit;
  const std::string full_name = name.repository + (name.revision.empty() ? "" : "@" + name.revision);
  const Unfinished unfinished = unfinished_in(folder);
  const auto models = models_of_repository(snapshot);
  if (models.empty()) return without_weights(snapshot, full_name, Tool::hugging_face, unfinished);
  const auto chosen = choose_model(models, name.choice, full_name);
  if (!chosen) return std::unexpected(chosen.error());
  DownloadedModel model = downloaded_model(*chosen, snapshot, full_name, Tool::hugging_face, unfinished);
  if (!model.is_whole()) model.elsewhere = whole_elsewhere(folder, *commit, name.repository, chosen->label);
  return model;
}

}  // namespace hearth::app
