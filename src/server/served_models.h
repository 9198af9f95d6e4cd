#pragma once

#include <memory>
#include <mutex>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "server/served_model.h"

namespace hearth {

/// Loads and unloads models when they are asked for. Called from any thread; returns at once: what comes of it is the
/// model's state.
class ModelLoader {
 public:
  virtual ~ModelLoader() = default;

  /// A request wants it: loads it as soon as there is room, unless it is there, on its way, or has just failed. When
  /// this returns, its state says so.
  virtual void want(ServedModel& model) = 0;

  /// The same, also where it has just failed.
  virtual void load(ServedModel& model) = 0;

  /// Ends its load, or lets the requests that have it finish and frees it.
  virtual void unload(ServedModel& model) = 0;

  /// Somebody asks which models there are.
  virtual void look_for_models() {}
};

/// All models that a server answers for. Models come, and stay to the end. Safe from any thread.
class ServedModels {
 public:
  /// `loader` may be null: then models come and go by themselves. It must outlive this.
  explicit ServedModels(std::vector<std::shared_ptr<ServedModel>> models, ModelLoader* loader = nullptr)
      : loader_(loader), models_(std::move(models)) {}

  void add(std::shared_ptr<ServedModel> model);

  /// In the order in which they came.
  std::vector<std::shared_ptr<ServedModel>> all() const;

  /// The same, with those that have come since somebody last asked so. May read directories.
  std::vector<std::shared_ptr<ServedModel>> look_for_all() const;

  /// The model that answers to `name`, the first one to an empty name; or null. Looks for an unknown one.
  std::shared_ptr<ServedModel> find(std::string_view name) const;

  ModelLoader* loader() const { return loader_; }

 private:
  ModelLoader* const loader_;
  mutable std::mutex mutex_;  // guards what follows
  std::vector<std::shared_ptr<ServedModel>> models_;
};

}  // namespace hearth
