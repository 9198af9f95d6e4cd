#include "server/openai/routes.h"

#include <string_view>
#include <utility>

#include "server/health.h"
#include "server/load_events.h"
#include "server/metrics_text.h"
#include "server/openai/generate.h"
#include "server/openai/model_request.h"
#include "server/openai/models.h"
#include "server/openai/response_format.h"
#include "server/openai/tokenize.h"

namespace hearth {
namespace {

HttpResponse version() { return {.body = dump({{"version", HEARTH_VERSION}})}; }

HttpResponse root(const ServedModels& models) {
  std::string names;
  for (const auto& model : models.all()) names += (names.empty() ? "" : ", ") + model->name();
  return {.content_type = "text/plain; charset=utf-8",
          .body = "hearth " HEARTH_VERSION " serves " + names +
                  " under /v1 with OpenAI's API; see /health, /metrics and /v1/models\n"};
}

}  // namespace

void add_routes(Router& router, std::shared_ptr<ServedModels> models, const ServerOptions& options,
                const RequestCounters& counters) {
  const auto add = [&](const char* method, std::string path, Handler handler) {
    router.add({.method = method, .path = std::move(path), .handler = std::move(handler)});
  };
  const auto open = [&](std::string path, Handler handler) {
    router.add({.method = "GET", .path = std::move(path), .handler = std::move(handler), .is_open = true});
  };
  const auto post_to_model = [&](std::string path, ModelHandler handler) {
    add("POST", std::move(path), [models, &options, handler = std::move(handler)](const HttpRequest& request) {
      return answer_for_model(*models, options, request, handler);
    });
  };

  open("/", [models](const HttpRequest&) { return root(*models); });
  open("/health", [models](const HttpRequest&) { return health(*models); });
  open("/ping", [models](const HttpRequest&) { return health(*models); });
  open("/version", [](const HttpRequest&) { return version(); });
  open("/metrics", [models, &counters](const HttpRequest&) {
    return HttpResponse{.content_type = "text/plain; version=0.0.4; charset=utf-8",
                        .body = metrics_text(*models, counters)};
  });

  add("GET", "/v1/models", [models](const HttpRequest&) { return list_models(*models); });
  add("GET", "/v1/models/*", [models](const HttpRequest& request) { return describe_model(*models, request); });
  add("POST", "/v1/models/*", [models](const HttpRequest& request) { return load_or_unload(*models, request); });
  add("DELETE", "/v1/models/*", [models](const HttpRequest& request) { return cancel_load(*models, request); });
  add("GET", "/v1/load", [models](const HttpRequest&) { return load_events(models->all()); });
  add("DELETE", "/v1/load", [models](const HttpRequest&) { return cancel_loads(*models); });

  post_to_model("/v1/completions",
                [&options](const ModelRequest& request) { return generate_completion(request, options); });
  post_to_model("/v1/chat/completions",
                [&options](const ModelRequest& request) { return generate_chat(request, options); });
  post_to_model("/tokenize", [](const ModelRequest& request) { return tokenize(request); });
  post_to_model("/detokenize", [&options](const ModelRequest& request) { return detokenize(request, options); });
}

}  // namespace hearth
