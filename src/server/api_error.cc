#include "server/api_error.h"

#include <nlohmann/json.hpp>
#include <utility>

namespace hearth {
namespace {

constexpr const char* kServerError = "server_error";

nlohmann::json or_null(const std::optional<std::string>& text) {
  return text ? nlohmann::json(*text) : nlohmann::json(nullptr);
}

}  // namespace

std::unexpected<ApiError> bad_field(std::string param, std::string message) {
  return std::unexpected(ApiError{.status = 400, .message = std::move(message), .param = std::move(param)});
}

std::string to_json(const ApiError& error) {
  const nlohmann::json body = {{"error",
                                {{"message", error.message},
                                 {"type", error.type},
                                 {"param", or_null(error.param)},
                                 {"code", or_null(error.code)}}}};
  // Messages quote what clients sent, which need not be UTF-8.
  return body.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

HttpResponse to_response(const ApiError& error) {
  HttpResponse response{.status = error.status, .body = to_json(error)};
  if (error.retry_after_seconds) {
    response.headers.emplace_back("Retry-After", std::to_string(*error.retry_after_seconds));
  }
  return response;
}

ApiError to_api_error(const Error& error) {
  const std::string message = to_string(error);
  switch (error.code) {
    case ErrorCode::invalid_argument:
    case ErrorCode::unsupported:
      return {.status = 400, .message = message};
    case ErrorCode::not_found:
      return {.status = 404, .message = message};
    case ErrorCode::overloaded:
      return {.status = 429,
              .message = message,
              .type = "rate_limit_error",
              .code = "rate_limit_exceeded",
              .retry_after_seconds = 1};
    case ErrorCode::timed_out:
      return {.status = 504, .message = message, .type = kServerError, .code = "timeout"};
    case ErrorCode::cancelled:
      return {.status = 503, .message = message, .type = kServerError, .code = "cancelled", .retry_after_seconds = 5};
    case ErrorCode::out_of_memory:
      return {
          .status = 503, .message = message, .type = kServerError, .code = "out_of_memory", .retry_after_seconds = 5};
    case ErrorCode::device_lost:
      return {.status = 503, .message = message, .type = kServerError, .code = "device_lost"};
    case ErrorCode::corrupt:
    case ErrorCode::io:
    case ErrorCode::internal:
      return {.status = 500, .message = message, .type = kServerError, .code = "internal_error"};
  }
  return {.status = 500, .message = message, .type = kServerError};
}

}  // namespace hearth
