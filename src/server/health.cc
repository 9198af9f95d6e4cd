#include "server/health.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <vector>

#include "server/model_state.h"

namespace hearth {
namespace {

using nlohmann::ordered_json;

/// The state that stands for all: the best for a client that wants any of them.
const ServedModel::State& best_of(const std::vector<ServedModel::State>& states) {
  // By the alternatives of State: what is not loaded is loaded when it is asked for.
  constexpr std::array<int, 4> kRank = {/*not loaded*/ 2, /*loading*/ 1, /*ready*/ 0, /*failed*/ 3};
  return *std::ranges::min_element(states, {}, [&](const auto& state) { return kRank[state.index()]; });
}

}  // namespace

HttpResponse health(const ServedModels& models) {
  const auto all = models.all();
  std::vector<ServedModel::State> states;
  for (const auto& model : all) states.push_back(model->state());
  if (states.empty()) states.emplace_back(NotLoaded{});

  HttpResponse response;
  const ServedModel::State& state = best_of(states);
  ordered_json body = state_json(state);
  body.erase("state");
  const std::string_view name = state_name(state);
  ordered_json status = {{"status", name == "loading" || name == "failed" ? name : "ok"}};
  if (status["status"] != "ok") response.status = 503;
  if (name == "loading") response.headers = {{"Retry-After", std::to_string(retry_after_seconds(state))}};
  status.update(body);
  if (all.size() > 1) {
    for (size_t i = 0; i < all.size(); ++i) status["models"][all[i]->name()] = state_json(states[i]);
  }
  response.body = status.dump(-1, ' ', false, ordered_json::error_handler_t::replace);
  return response;
}

}  // namespace hearth
