#include "server/openai/routes.h"

#include <string_view>
#include <utility>

#include "server/health.h"
#include "server/metrics_text.h"
#include "server/openai/generate.h"
#include "server/openai/models.h"
#include "server/openai/response_format.h"
#include "server/openai/tokenize.h"

namespace hearth {
namespace {

constexpr std::string_view kModelPath = "/v1/models/";

HttpResponse version() { return {.body = dump({{"version", HEARTH_VERSION}})}; }

HttpResponse root(const ServedModel& model) {
  return {.content_type = "text/plain; charset=utf-8",
          .body = "hearth " HEARTH_VERSION " serves " + model.name() +
                  " under /v1 with OpenAI's API; see /health, /metrics and /v1/models\n"};
}

}  // namespace

void add_routes(Router& router, std::shared_ptr<ServedModel> model, const ServerOptions& options,
                const RequestCounters& counters) {
  const auto open = [&](std::string path, Handler handler) {
    router.add({.method = "GET", .path = std::move(path), .handler = std::move(handler), .is_open = true});
  };
  const auto get = [&](std::string path, Handler handler) {
    router.add({.method = "GET", .path = std::move(path), .handler = std::move(handler)});
  };
  const auto post = [&](std::string path, Handler handler) {
    router.add({.method = "POST", .path = std::move(path), .handler = std::move(handler)});
  };

  open("/", [model](const HttpRequest&) { return root(*model); });
  open("/health", [model](const HttpRequest&) { return health(*model); });
  open("/ping", [model](const HttpRequest&) { return health(*model); });
  open("/version", [](const HttpRequest&) { return version(); });
  open("/metrics", [model, &counters](const HttpRequest&) {
    return HttpResponse{.content_type = "text/plain; version=0.0.4; charset=utf-8",
                        .body = metrics_text(*model, counters)};
  });

  get("/v1/models", [model](const HttpRequest&) { return list_models(*model); });
  get("/v1/models/*", [model](const HttpRequest& request) {
    return describe_model(*model, std::string_view(request.path).substr(kModelPath.size()));
  });
  post("/v1/completions",
       [model, &options](const HttpRequest& request) { return generate_completion(*model, options, request); });
  post("/v1/chat/completions",
       [model, &options](const HttpRequest& request) { return generate_chat(*model, options, request); });
  post("/tokenize", [model, &options](const HttpRequest& request) { return tokenize(*model, options, request); });
  post("/detokenize", [model, &options](const HttpRequest& request) { return detokenize(*model, options, request); });
}

}  // namespace hearth
