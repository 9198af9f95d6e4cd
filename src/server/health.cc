#include "server/health.h"

#include <nlohmann/json.hpp>
#include <variant>

#include "base/progress.h"

namespace hearth {

HttpResponse health(const ServedModel& model) {
  const ServedModel::State state = model.state();
  nlohmann::ordered_json body;
  HttpResponse response;
  if (const auto* progress = std::get_if<Progress>(&state)) {
    response.status = 503;
    response.headers = {{"Retry-After", "1"}};
    body = {{"status", "loading"}, {"stage", progress->stage}, {"fraction", progress->fraction()}};
    if (progress->total_bytes > 0) {
      body["done_bytes"] = progress->done_bytes;
      body["total_bytes"] = progress->total_bytes;
    }
    if (progress->layer >= 0) body["layer"] = progress->layer;
    if (progress->layers > 0) body["layers"] = progress->layers;
  } else if (const auto* error = std::get_if<Error>(&state)) {
    response.status = 503;
    body = {{"status", "failed"}, {"error", to_string(*error)}};
  } else {
    body = {{"status", "ok"}};
  }
  response.body = body.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
  return response;
}

}  // namespace hearth
