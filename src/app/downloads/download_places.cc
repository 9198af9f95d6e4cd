#include "app/downloads/download_places.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <string_view>

#include "app/downloads/disk_questions.h"
#include "app/downloads/hugging_face_cache.h"
#include "app/downloads/lm_studio.h"
#include "app/downloads/ollama.h"
#include "base/nearest_word.h"
#include "base/printable.h"

namespace hearth::app {
namespace {

namespace fs = std::filesystem;

/// With the home for a leading "~", as Hugging Face's libraries have it.
fs::path expanded(const std::string& path, const fs::path& home) {
  if (path == "~") return home;
  return path.starts_with("~/") ? home / path.substr(2) : fs::path(path);
}

Result<std::optional<DownloadedModel>> look_up(const DownloadPlace& place, const ModelName& name) {
  switch (place.tool) {
    case Tool::hugging_face:
      return find_in_hugging_face(place.folder, name);
    case Tool::lm_studio:
      return find_in_lm_studio(place.folder, name);
    case Tool::ollama:
      return find_in_ollama(place.folder, name);
  }
  return std::nullopt;
}

/// By what somebody may have meant a model, in small letters: its whole name, without what is chosen of it, and without
/// its organisation.
std::vector<std::string> keys_of(const std::string& model_name) {
  const std::string whole = in_small_letters(model_name);
  const std::string repository = whole.substr(0, whole.find_first_of("@:"));
  return {whole, repository, repository.substr(repository.rfind('/') + 1), whole.substr(whole.rfind('/') + 1)};
}

/// The models whose names are nearest to what was asked for; empty where none is near.
std::vector<std::string> nearest_models(const ModelName& name, const std::vector<DownloadPlace>& places) {
  std::map<std::string, std::vector<std::string>> names_by_key;
  for (const DownloadPlace& place : places) {
    for (const DownloadedModel& model : models_of(place)) {
      for (const std::string& key : keys_of(model.name)) {
        std::vector<std::string>& names = names_by_key[key];
        if (std::ranges::find(names, model.name) == names.end()) names.push_back(model.name);
      }
    }
  }
  std::vector<std::string_view> words;
  for (const auto& [key, names] : names_by_key) words.push_back(key);
  const std::string wanted = in_small_letters(name.text);
  const std::string repository = in_small_letters(name.repository);
  for (const std::string& each : {wanted, repository, repository.substr(repository.rfind('/') + 1)}) {
    const std::string_view nearest = nearest_word(each, words);
    if (!nearest.empty()) return names_by_key[std::string(nearest)];
  }
  return {};
}

std::string places_text(const std::vector<DownloadPlace>& places) {
  std::vector<std::string> texts;
  for (const DownloadPlace& place : places) {
    texts.push_back(printable(place.folder.native(), 1024) + state_of_folder(place.folder));
  }
  return list_some(texts, texts.size());
}

Error nothing_found(const ModelName& name, const std::vector<DownloadPlace>& places) {
  const std::vector<std::string> nearest = nearest_models(name, places);
  std::string hint = nearest.empty() ? "" : fmt::format("the nearest is {}; ", list_some(nearest, 4));
  return {ErrorCode::not_found,
          fmt::format("{}: no such file or directory, and no model of that name in {}", printable(name.text),
                      places_text(places)),
          hint + "`hearth models` lists what is there"};
}

}  // namespace

DownloadRoots download_roots(const std::function<std::string(const char*)>& variable) {
  DownloadRoots roots{.home = variable("HOME")};
  const auto path = [&](const char* name) { return expanded(variable(name), roots.home); };
  const auto below_home = [&](const char* folder) { return roots.home.empty() ? fs::path() : roots.home / folder; };

  // Its older name counts, too, as in Hugging Face's libraries.
  roots.hugging_face = path("HF_HUB_CACHE");
  if (roots.hugging_face.empty()) roots.hugging_face = path("HUGGINGFACE_HUB_CACHE");
  if (roots.hugging_face.empty()) {
    const fs::path cache = path("XDG_CACHE_HOME").empty() ? below_home(".cache") : path("XDG_CACHE_HOME");
    const fs::path home = path("HF_HOME").empty() && !cache.empty() ? cache / "huggingface" : path("HF_HOME");
    if (!home.empty()) roots.hugging_face = home / "hub";
  }
  if (const fs::path folder = path("OLLAMA_MODELS"); !folder.empty()) {
    roots.ollama = {folder};
  } else {
    if (!roots.home.empty()) roots.ollama.push_back(roots.home / ".ollama/models");
    roots.ollama.emplace_back("/usr/share/ollama/.ollama/models");
  }
  return roots;
}

DownloadRoots download_roots() {
  return download_roots([](const char* name) -> std::string {
    const char* value = std::getenv(name);
    return value == nullptr ? "" : value;
  });
}

std::vector<DownloadPlace> download_places(const DownloadRoots& roots) {
  std::vector<DownloadPlace> places;
  if (!roots.hugging_face.empty()) places.push_back({Tool::hugging_face, roots.hugging_face});
  for (const fs::path& folder : lm_studio_folders(roots.home)) places.push_back({Tool::lm_studio, folder});
  for (const fs::path& folder : roots.ollama) places.push_back({Tool::ollama, folder});
  return places;
}

std::vector<DownloadedModel> models_of(const DownloadPlace& place) {
  switch (place.tool) {
    case Tool::hugging_face:
      return hugging_face_models(place.folder);
    case Tool::lm_studio:
      return lm_studio_models(place.folder);
    case Tool::ollama:
      return ollama_models(place.folder);
  }
  return {};
}

Result<FoundDownload> find_download(const ModelName& name, const std::vector<DownloadPlace>& all_places) {
  std::vector<DownloadPlace> places;
  for (const DownloadPlace& place : all_places) {
    if (!name.tool || place.tool == *name.tool) places.push_back(place);
  }
  std::vector<DownloadedModel> found;
  std::optional<Error> failure;
  for (const DownloadPlace& place : places) {
    auto looked_up = look_up(place, name);
    if (!looked_up) {
      // What may mean several models must not mean another place's.
      if (looked_up.error().code == ErrorCode::invalid_argument) return pass_on(looked_up);
      if (!failure) failure = looked_up.error();
    } else if (*looked_up) {
      if (!failure && !(*looked_up)->is_whole()) failure = not_whole(**looked_up);
      found.push_back(std::move(**looked_up));
    }
  }
  const auto whole = std::ranges::find_if(found, &DownloadedModel::is_whole);
  if (whole == found.end()) return std::unexpected(failure ? *failure : nothing_found(name, places));
  FoundDownload result{.model = *whole};
  found.erase(whole);
  result.others = std::move(found);
  return result;
}

}  // namespace hearth::app
