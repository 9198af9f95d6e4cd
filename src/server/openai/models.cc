#include "server/openai/models.h"

#include <memory>
#include <optional>
#include <string_view>

#include "server/load_events.h"
#include "server/model_state.h"
#include "server/openai/endpoint.h"
#include "server/openai/response_format.h"

namespace hearth {
namespace {

using nlohmann::ordered_json;

constexpr std::string_view kModelPath = "/v1/models/";
constexpr std::string_view kLoad = "/load";
constexpr std::string_view kUnload = "/unload";

ordered_json model_card(const ServedModel& model, const std::string& id) {
  const ServedModel::State state = model.state();
  ordered_json card = {{"id", id},
                       {"object", "model"},
                       {"created", model.created()},
                       {"owned_by", "hearth"},
                       {"root", model.name()},
                       {"parent", nullptr}};
  if (const auto* ready = std::get_if<ModelLease>(&state)) card["max_model_len"] = (*ready)->engine->context_length();
  card.update(state_json(state));
  return card;
}

/// "a/b" of "/v1/models/a/b" and, with an action, of "/v1/models/a/b/load".
std::string_view id_of(const HttpRequest& request, std::string_view action = {}) {
  std::string_view id = std::string_view(request.path).substr(kModelPath.size());
  id.remove_suffix(action.size());
  return id;
}

/// Whether the path ends with the action, and a model's name stands before it.
bool has_action(const HttpRequest& request, std::string_view action) {
  return request.path.ends_with(action) && request.path.size() > kModelPath.size() + action.size();
}

HttpResponse accepted(const ServedModel& model) {
  ordered_json body = {{"model", model.name()}};
  body.update(state_json(model.state()));
  return {.status = 202, .body = dump(body)};
}

HttpResponse cannot_change() {
  return to_response({.status = 409, .message = "This server loads its models by itself", .code = "fixed_models"});
}

HttpResponse no_such_action(const HttpRequest& request) {
  return to_response({.status = 404, .message = "No such path: " + request.path + "; a model has /load and /unload"});
}

bool is_loading(const ServedModel& model) { return std::holds_alternative<LoadStatus>(model.state()); }

}  // namespace

HttpResponse list_models(const ServedModels& models) {
  ordered_json cards = ordered_json::array();
  for (const auto& model : models.look_for_all()) {
    cards.push_back(model_card(*model, model->name()));
    for (const std::string& alias : model->aliases()) cards.push_back(model_card(*model, alias));
  }
  return {.body = dump({{"object", "list"}, {"data", std::move(cards)}})};
}

Reply describe_model(const ServedModels& models, const HttpRequest& request) {
  if (const auto model = models.find(id_of(request)))
    return HttpResponse{.body = dump(model_card(*model, std::string(id_of(request))))};
  if (has_action(request, kLoad)) {
    if (const auto model = models.find(id_of(request, kLoad))) return load_events({model});
  }
  return to_response(unknown_model(models, id_of(request)));
}

HttpResponse load_or_unload(const ServedModels& models, const HttpRequest& request) {
  for (const std::string_view action : {kLoad, kUnload}) {
    if (!has_action(request, action)) continue;
    const auto model = models.find(id_of(request, action));
    if (model == nullptr) return to_response(unknown_model(models, id_of(request, action)));
    if (models.loader() == nullptr) return cannot_change();
    action == kLoad ? models.loader()->load(*model) : models.loader()->unload(*model);
    return accepted(*model);
  }
  return no_such_action(request);
}

HttpResponse cancel_load(const ServedModels& models, const HttpRequest& request) {
  if (!has_action(request, kLoad)) return no_such_action(request);
  const auto model = models.find(id_of(request, kLoad));
  if (model == nullptr) return to_response(unknown_model(models, id_of(request, kLoad)));
  if (models.loader() == nullptr) return cannot_change();
  if (is_loading(*model)) models.loader()->unload(*model);
  return accepted(*model);
}

HttpResponse cancel_loads(const ServedModels& models) {
  if (models.loader() == nullptr) return cannot_change();
  ordered_json cancelled = ordered_json::array();
  for (const auto& model : models.all()) {
    if (!is_loading(*model)) continue;
    models.loader()->unload(*model);
    cancelled.push_back(model->name());
  }
  return {.status = 202, .body = dump({{"cancelled", std::move(cancelled)}})};
}

}  // namespace hearth
