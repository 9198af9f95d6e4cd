#include "server/openai/models.h"

#include "server/openai/endpoint.h"
#include "server/openai/response_format.h"

namespace hearth {
namespace {

using nlohmann::ordered_json;

ordered_json model_card(const ServedModel& model, const ReadyModel& ready, const std::string& id) {
  return {{"id", id},
          {"object", "model"},
          {"created", model.created()},
          {"owned_by", "hearth"},
          {"root", model.name()},
          {"parent", nullptr},
          {"max_model_len", ready.engine->context_length()}};
}

}  // namespace

HttpResponse list_models(const ServedModel& model) {
  const auto ready = require_ready(model);
  if (!ready) return to_response(ready.error());
  ordered_json cards = ordered_json::array({model_card(model, **ready, model.name())});
  for (const std::string& alias : model.aliases()) cards.push_back(model_card(model, **ready, alias));
  return {.body = dump({{"object", "list"}, {"data", std::move(cards)}})};
}

HttpResponse describe_model(const ServedModel& model, std::string_view id) {
  const auto ready = require_ready(model);
  if (!ready) return to_response(ready.error());
  const std::string name(id);
  if (const auto known = check_model_name(model, name); !known) return to_response(known.error());
  return {.body = dump(model_card(model, **ready, name))};
}

}  // namespace hearth
