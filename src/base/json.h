#pragma once

#include <nlohmann/json.hpp>
#include <string_view>

#include "base/result.h"

namespace hearth {

struct JsonLimits {
  int max_depth = 64;        ///< arrays and objects inside each other
  bool unique_keys = false;  ///< refuse an object that names a key twice; otherwise the last one counts, as in Python
};

/// Parses one JSON document. `what` says in the error message where the text came from, such as a path or "request
/// body". Errors are `corrupt`, one line, with line and column; the caller maps the code if its text is a request.
Result<nlohmann::json> parse_json(std::string_view text, std::string_view what, const JsonLimits& limits = {});

}  // namespace hearth
