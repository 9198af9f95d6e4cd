#pragma once

#include <optional>
#include <string>

#include "engine/request.h"
#include "engine/stop_strings.h"
#include "text/detokenizer.h"

namespace hearth {

/// The text of one request: generated tokens in, whole characters out, up to a stop string.
class OutputText {
 public:
  /// Without a tokenizer there is no text.
  OutputText(const Tokenizer* tokenizer, const Request& request);

  /// Appends the text that is certain after `token` to `out`. Returns the stop string that ended the text, if one did;
  /// while `stops_count` is false none is looked for.
  std::optional<std::string> push(int32_t token, bool stops_count, std::string& out);

  /// The end of the generation: appends what was held back. An unfinished stop string is text after all; a stop string
  /// that only the last unfinished character completes ends it as well.
  std::optional<std::string> flush(std::string& out);

 private:
  std::optional<StreamingDetokenizer> detokenizer_;
  StopStrings stop_strings_;
};

}  // namespace hearth
