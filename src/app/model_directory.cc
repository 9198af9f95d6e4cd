#include "app/model_directory.h"

#include <algorithm>
#include <map>
#include <system_error>
#include <thread>

#include "app/downloads/disk_questions.h"
#include "app/downloads/hugging_face_cache.h"
#include "app/downloads/ollama.h"
#include "app/downloads/repository_files.h"
#include "app/served_name.h"
#include "base/printable.h"
#include "formats/gguf_split_name.h"

namespace hearth::app {
namespace {

namespace fs = std::filesystem;

constexpr int kDeepest = 3;

bool is_model_file(const fs::path& path) {
  const std::string name = path.filename().native();
  if (!is_weights_name(name)) return false;
  const auto split = GgufSplitName::parse(name);
  return !split || split->number == 1;
}

bool is_model_directory(const fs::path& path) {
  std::error_code error;
  return fs::is_regular_file(path / "config.json", error);
}

void add_whole(const std::vector<DownloadedModel>& models, std::vector<FoundModel>& found) {
  for (const DownloadedModel& model : models) {
    if (model.is_whole()) found.push_back({model.path, model.name});
  }
}

void collect(const fs::path& folder, int depth, std::vector<FoundModel>& found) {
  if (is_hugging_face_repository(folder)) return add_whole(hugging_face_repository_models(folder), found);
  if (is_ollama_folder(folder)) return add_whole(ollama_models(folder), found);
  std::error_code error;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
    std::error_code ignored;
    if (entry->is_directory(ignored)) {
      if (is_model_directory(entry->path())) {
        found.push_back({entry->path(), {}});
      } else if (depth < kDeepest) {
        collect(entry->path(), depth + 1, found);
      }
    } else if (entry->is_regular_file(ignored) && is_model_file(entry->path())) {
      found.push_back({entry->path(), {}});
    }
  }
}

}  // namespace

std::vector<FoundModel> name_models(std::vector<FoundModel> models, const fs::path& folder) {
  std::map<std::string, int> uses;
  for (FoundModel& model : models) {
    if (model.name.empty()) model.name = served_name(model.path);
    ++uses[model.name];
  }
  for (auto& [path, name] : models) {
    if (uses[name] > 1) name = printable((folder.empty() ? path : path.lexically_relative(folder)).native(), 1024);
  }
  return models;
}

fs::path place_of(const fs::path& path) {
  std::error_code error;
  fs::path absolute = fs::absolute(path, error).lexically_normal();
  if (!absolute.has_filename()) absolute = absolute.parent_path();
  return fs::weakly_canonical(absolute.parent_path(), error) / absolute.filename();
}

std::vector<FoundModel> find_models(const fs::path& directory) {
  std::vector<FoundModel> found;
  collect(directory, 0, found);
  found = name_models(std::move(found), directory);
  for (FoundModel& model : found) model.path = place_of(model.path);
  std::ranges::sort(found, {}, &FoundModel::name);
  return found;
}

std::vector<FoundModel> ModelSearch::look(std::chrono::milliseconds patience) {
  std::unique_lock lock(state_->mutex);
  if (!state_->is_searching) {
    state_->is_searching = true;
    // Nobody can take back a thread that a folder does not answer.
    std::thread([state = state_, find = find_] {
      std::vector<FoundModel> found = find();
      const std::lock_guard done(state->mutex);
      state->found = std::move(found);
      state->is_searching = false;
      state->ended.notify_all();
    }).detach();
  }
  state_->ended.wait_for(lock, patience, [this] { return !state_->is_searching; });
  return state_->found;
}

uint64_t model_file_bytes(const fs::path& path) {
  std::error_code error;
  uint64_t bytes = 0;
  if (fs::is_directory(path, error)) {
    for (fs::directory_iterator entry(path, error), end; !error && entry != end; entry.increment(error)) {
      if (entry->path().extension() == ".safetensors") bytes += file_bytes(entry->path());
    }
    return bytes;
  }
  const auto split = GgufSplitName::parse(path.filename().native());
  if (!split) return file_bytes(path);
  for (uint32_t number = 1; number <= split->count; ++number)
    bytes += file_bytes(path.parent_path() / split->of(number));
  return bytes;
}

}  // namespace hearth::app
