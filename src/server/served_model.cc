#include "server/served_model.h"

#include <algorithm>
#include <utility>

#include "server/unix_time.h"

namespace hearth {
ServedModel::ServedModel(std::string name, std::vector<std::string> aliases)
    : name_(std::move(name)),
      aliases_(std::move(aliases)),
      created_(seconds_since_1970()),
      state_(Progress{.stage = "start"}) {}

void ServedModel::report(const Progress& progress) {
  std::lock_guard lock(mutex_);
  if (std::holds_alternative<Progress>(state_)) state_ = progress;
}

void ServedModel::set_ready(ReadyModel model) {
  std::lock_guard lock(mutex_);
  if (std::holds_alternative<Progress>(state_)) state_ = std::make_shared<const ReadyModel>(std::move(model));
}

void ServedModel::set_failed(Error error) {
  std::lock_guard lock(mutex_);
  if (std::holds_alternative<Progress>(state_)) state_ = std::move(error);
}

void ServedModel::set_reloading(std::string stage) {
  std::lock_guard lock(mutex_);
  if (!std::holds_alternative<Error>(state_)) state_ = Progress{.stage = std::move(stage)};
}

ServedModel::State ServedModel::state() const {
  std::lock_guard lock(mutex_);
  return state_;
}

std::shared_ptr<const ReadyModel> ServedModel::ready() const {
  std::lock_guard lock(mutex_);
  const auto* model = std::get_if<std::shared_ptr<const ReadyModel>>(&state_);
  return model != nullptr ? *model : nullptr;
}

bool ServedModel::answers_to(std::string_view name) const {
  return name == name_ || std::ranges::find(aliases_, name) != aliases_.end();
}

}  // namespace hearth
