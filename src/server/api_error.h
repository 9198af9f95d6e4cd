#pragma once

#include <expected>
#include <optional>
#include <string>

#include "base/result.h"
#include "server/http/message.h"

namespace hearth {

/// An error as OpenAI's clients expect it; to_response() writes {"error": {"message", "type", "param", "code"}}, always
/// with the four keys.
struct ApiError {
  unsigned status = 400;
  std::string message;
  std::string type = "invalid_request_error";
  std::optional<std::string> param{};  ///< the field at fault, such as "messages[2].content"
  std::optional<std::string> code{};   ///< for programs, such as "model_not_found"
  std::optional<unsigned> retry_after_seconds{};
};

/// What a request is turned into, or why not.
template <class T>
using ApiResult = std::expected<T, ApiError>;

/// 400 that names the field.
std::unexpected<ApiError> bad_field(std::string param, std::string message);

/// The body of the error: one JSON object.
std::string to_json(const ApiError& error);
HttpResponse to_response(const ApiError& error);

/// An Error of the library as a client sees it. Errors that are not the client's fault keep their message: it names
/// what hearth could not do, and never holds what a request said.
ApiError to_api_error(const Error& error);

}  // namespace hearth
