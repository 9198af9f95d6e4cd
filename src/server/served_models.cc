#include "server/served_models.h"

#include <algorithm>
#include <utility>

namespace hearth {
namespace {

std::shared_ptr<ServedModel> find_in(const std::vector<std::shared_ptr<ServedModel>>& models, std::string_view name) {
  const auto at = std::ranges::find_if(models, [&](const auto& model) { return model->answers_to(name); });
  return at == models.end() ? nullptr : *at;
}

}  // namespace

void ServedModels::add(std::shared_ptr<ServedModel> model) {
  std::lock_guard lock(mutex_);
  models_.push_back(std::move(model));
}

std::vector<std::shared_ptr<ServedModel>> ServedModels::look_for_all() const {
  if (loader_ != nullptr) loader_->look_for_models();
  return all();
}

std::vector<std::shared_ptr<ServedModel>> ServedModels::all() const {
  std::lock_guard lock(mutex_);
  return models_;
}

std::shared_ptr<ServedModel> ServedModels::find(std::string_view name) const {
  {
    std::lock_guard lock(mutex_);
    if (name.empty()) return models_.empty() ? nullptr : models_.front();
    if (auto found = find_in(models_, name)) return found;
  }
  return find_in(look_for_all(), name);
}

}  // namespace hearth
