#include "server/http/router.h"

#include <fmt/format.h>

#include <exception>

#include "base/printable.h"
#include "server/api_error.h"

namespace hearth {
namespace {

bool matches(std::string_view pattern, std::string_view path) {
  if (!pattern.ends_with('*')) return pattern == path;
  pattern.remove_suffix(1);
  return path.size() > pattern.size() && path.starts_with(pattern);
}

HttpResponse unauthorized(bool key_was_given) {
  HttpResponse response = to_response(
      {.status = 401,
       .message = key_was_given ? "Incorrect API key provided" : "No API key provided; send Authorization: Bearer KEY",
       .code = "invalid_api_key"});
  response.headers.emplace_back("WWW-Authenticate", "Bearer");
  return response;
}

}  // namespace

const Route* Router::find(std::string_view method, std::string_view path) const {
  for (const Route& route : routes_) {
    const bool method_matches = route.method == method || (method == "HEAD" && route.method == "GET");
    if (method_matches && matches(route.path, path)) return &route;
  }
  return nullptr;
}

std::string Router::allowed_methods(std::string_view path) const {
  // OPTIONS * asks about the server, not about a path (RFC 9110, 9.3.7).
  if (path == "*") return "OPTIONS, GET, HEAD, POST";
  std::string methods;
  for (const Route& route : routes_) {
    if (!matches(route.path, path)) continue;
    if (methods.empty()) methods = "OPTIONS";
    methods += ", " + route.method;
    if (route.method == "GET") methods += ", HEAD";
  }
  return methods;
}

std::optional<User> Router::user_of(const HttpRequest& request, const std::string& address) const {
  const std::shared_ptr<const ApiKeys> current = keys();
  if (!current->are_asked_for()) {
    User user;
    user.id = fmt::format("address {}", address);
    return user;
  }
  const User* user = current->user_of(request.header("Authorization"));
  return user == nullptr ? std::nullopt : std::optional(*user);
}

std::optional<HttpResponse> Router::answer_early(const HttpRequest& request) const {
  const std::string methods = allowed_methods(request.path);
  if (request.method == "OPTIONS" && !methods.empty()) {
    HttpResponse response{.status = 204, .content_type = ""};
    response.headers.emplace_back("Allow", methods);
    if (!request.header("Access-Control-Request-Method").empty()) {
      for (auto& header :
           cors_.preflight_headers(request.header("Origin"), request.header("Access-Control-Request-Headers"))) {
        response.headers.push_back(std::move(header));
      }
    }
    return response;
  }
  const Route* route = find(request.method, request.path);
  const bool needs_key = route == nullptr || !route->is_open;
  if (needs_key && !user_of(request, {})) {
    return unauthorized(!request.header("Authorization").empty());
  }
  if (route != nullptr) return std::nullopt;
  if (methods.empty()) {
    return to_response({.status = 404, .message = fmt::format("No such path: {}", printable(request.path))});
  }
  HttpResponse response = to_response(
      {.status = 405, .message = fmt::format("{} takes {}, not {}", request.path, methods, printable(request.method))});
  response.headers.emplace_back("Allow", methods);
  return response;
}

Reply Router::answer(const HttpRequest& request) const {
  if (std::optional<HttpResponse> early = answer_early(request)) return *std::move(early);
  try {
    return find(request.method, request.path)->handler(request);
  } catch (const std::exception& error) {
    return to_response(to_api_error({ErrorCode::internal, fmt::format("unexpected: {}", error.what())}));
  }
}

std::string_view Router::route_name(const HttpRequest& request) const {
  const Route* route = find(request.method, request.path);
  return route == nullptr ? "other" : std::string_view(route->path);
}

}  // namespace hearth
