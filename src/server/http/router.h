#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "server/http/api_keys.h"
#include "server/http/cors.h"
#include "server/http/message.h"
#include "server/http/reply.h"

namespace hearth {

/// Answers a request; may be called from several threads at once.
using Handler = std::function<Reply(const HttpRequest&)>;

struct Route {
  std::string method;  ///< GET also answers HEAD
  std::string path;    ///< "/v1/models"; a "*" at the end stands for anything, but not for nothing
  Handler handler;
  bool is_open = false;  ///< asks for no API key
};

/// Which handler answers which request. Only the keys change once the server listens; safe from any thread.
class Router {
 public:
  Router(ApiKeys keys, CorsPolicy cors)
      : keys_(std::make_unique<Keys>(std::make_shared<const ApiKeys>(std::move(keys)))), cors_(std::move(cors)) {}

  /// Requests that come from now on need one of these.
  void set_keys(ApiKeys keys) {
    auto current = std::make_shared<const ApiKeys>(std::move(keys));
    const std::lock_guard lock(keys_->mutex);
    keys_->current.swap(current);
  }

  void add(Route route) { routes_.push_back(std::move(route)); }

  /// Whose request it is, by its key; without keys, `address` stands for the user. Nothing where it has no right key.
  std::optional<User> user_of(const HttpRequest& request, const std::string& address) const;

  /// What can be answered from the headers alone: 401, 404, 405 and every OPTIONS; nothing if the request has a
  /// handler that will answer once the body is there.
  std::optional<HttpResponse> answer_early(const HttpRequest& request) const;

  /// Calls the handler. Exceptions from libraries end here, as 500.
  Reply answer(const HttpRequest& request) const;

  /// Headers that every answer to `origin` carries.
  Headers cors_headers(std::string_view origin) const { return cors_.headers(origin); }

  /// The path of the route that answers `request`, for metrics: not what a client can make up.
  std::string_view route_name(const HttpRequest& request) const;

 private:
  const Route* find(std::string_view method, std::string_view path) const;
  std::string allowed_methods(std::string_view path) const;

  /// A check goes on with the keys that it began with.
  struct Keys {
    explicit Keys(std::shared_ptr<const ApiKeys> keys) : current(std::move(keys)) {}
    std::mutex mutex;
    std::shared_ptr<const ApiKeys> current;
  };

  std::shared_ptr<const ApiKeys> keys() const {
    const std::lock_guard lock(keys_->mutex);
    return keys_->current;
  }

  std::unique_ptr<Keys> keys_;
  CorsPolicy cors_;
  std::vector<Route> routes_;
};

}  // namespace hearth
