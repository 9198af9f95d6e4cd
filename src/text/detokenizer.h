#pragma once

#include <cstdint>
#include <string>

#include "text/tokenizer.h"
#include "text/utf8_stream.h"

namespace hearth {

/// Text of token ids as they arrive: what push and flush return, one after another, is what Tokenizer::decode returns
/// for all ids at once. One for each stream, used by one thread at a time; the tokenizer must outlive it.
class StreamingDetokenizer {
 public:
  explicit StreamingDetokenizer(const Tokenizer& tokenizer, DecodeOptions options = {});

  /// The text that is certain after this id; empty while a character is unfinished.
  std::string push(uint32_t id);

  /// Ends the text: an unfinished character becomes U+FFFD.
  std::string flush();

 private:
  const Tokenizer* tokenizer_;
  bool skip_special_;
  uint32_t droppable_spaces_;  ///< Leading spaces that may still be dropped.
  Utf8Stream utf8_;
};

}  // namespace hearth
