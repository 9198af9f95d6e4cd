#include "server/load_events.h"

#include <nlohmann/json.hpp>
#include <string>
#include <utility>

#include "server/api_error.h"
#include "server/model_state.h"

namespace hearth {
namespace {

class LoadEvents final : public PendingReply {
 public:
  explicit LoadEvents(std::vector<std::shared_ptr<ServedModel>> models)
      : models_(std::move(models)), told_(models_.size()) {}

  void start(std::function<void()> wake) override {
    for (const auto& model : models_) observations_.push_back(model->observe(wake));
  }

  ReplyPart take() override {
    ReplyPart part{.end = true};
    for (size_t i = 0; i < models_.size(); ++i) {
      const ServedModel::State state = models_[i]->state();
      if (std::holds_alternative<LoadStatus>(state)) part.end = false;
      nlohmann::ordered_json json = {{"model", models_[i]->name()}};
      json.update(state_json(state));
      std::string data = json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
      if (data == told_[i]) continue;
      part.events += "data: " + data + "\n\n";
      told_[i] = std::move(data);
    }
    return part;
  }

  ReplyPart abandon(const Error& why) override { return {.response = to_response(to_api_error(why))}; }
  bool is_event_stream() const override { return true; }
  bool is_overflowing() const override { return false; }
  ReplyStatistics statistics() const override { return {}; }

 private:
  const std::vector<std::shared_ptr<ServedModel>> models_;
  std::vector<std::string> told_;  ///< of each model
  std::vector<ServedModel::Observation> observations_;
};

}  // namespace

std::unique_ptr<PendingReply> load_events(std::vector<std::shared_ptr<ServedModel>> models) {
  return std::make_unique<LoadEvents>(std::move(models));
}

}  // namespace hearth
