#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace hearth::app {

/// A model that lies in a directory, and what clients call it.
struct FoundModel {
  std::filesystem::path path;
  std::string name;
};

/// What clients call these models: the names that they have, or their served_name, or their paths, as seen from
/// `folder` unless it is empty, where two would have the same name.
std::vector<FoundModel> name_models(std::vector<FoundModel> models, const std::filesystem::path& folder = {});

/// What looks like a model in `directory` and in up to three folders below: GGUF files (of a split one the first, and
/// no projectors of images), directories with config.json, and by their names the whole models of a Hugging Face cache
/// or of a folder of Ollama's. Sorted by name, with their place_of as paths. What cannot be listed is left out.
std::vector<FoundModel> find_models(const std::filesystem::path& directory);

/// The path of a model, the same however its folder is named. Its own name stays what it is, also where it is a link.
std::filesystem::path place_of(const std::filesystem::path& path);

/// Bytes of the files of the model at `path`, all parts together; 0 where nothing can be read.
uint64_t model_file_bytes(const std::filesystem::path& path);

/// Looks for models, but waits for a folder that does not answer only a moment: what is found later is known the next
/// time. Thread-safe.
class ModelSearch {
 public:
  /// `find` must own all that it uses: it may still run when this is gone.
  explicit ModelSearch(std::function<std::vector<FoundModel>()> find) : find_(std::move(find)) {}

  /// What was found last, by a search that begins now unless one is still on its way.
  std::vector<FoundModel> look(std::chrono::milliseconds patience);

 private:
  struct State {
    std::mutex mutex;  // guards what follows
    std::condition_variable ended;
    bool is_searching = false;
    std::vector<FoundModel> found;
  };

  const std::function<std::vector<FoundModel>()> find_;
  const std::shared_ptr<State> state_ = std::make_shared<State>();
};

}  // namespace hearth::app
