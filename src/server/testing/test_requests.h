#pragma once

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>
#include <utility>

#include "server/openai/chat_request.h"
#include "server/openai/completion_request.h"

namespace hearth {

inline const RequestLimits kLimits{.max_choices = 8, .vocabulary_size = 100};

inline nlohmann::json chat_body(nlohmann::json fields = nlohmann::json::object()) {
  nlohmann::json body = {{"model", "m"}, {"messages", {{{"role", "user"}, {"content", "hi"}}}}};
  if (!fields.empty()) body.update(fields);
  return body;
}

inline nlohmann::json completion_body(nlohmann::json fields = nlohmann::json::object()) {
  nlohmann::json body = {{"model", "m"}, {"prompt", "hi"}};
  if (!fields.empty()) body.update(fields);
  return body;
}

inline ApiResult<ChatRequest> chat(nlohmann::json fields) {
  return parse_chat_request(chat_body(std::move(fields)), kLimits);
}

inline ApiResult<CompletionRequest> completion(nlohmann::json fields) {
  return parse_completion_request(completion_body(std::move(fields)), kLimits);
}

/// The field that the error names; "" for success, "-" for an error that names none.
template <class T>
std::string fault(const ApiResult<T>& result) {
  if (result) return "";
  EXPECT_EQ(result.error().status, 400U);
  EXPECT_FALSE(result.error().message.empty());
  return result.error().param.value_or("-");
}

}  // namespace hearth
