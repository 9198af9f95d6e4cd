#include "text/utf8_stream.h"

namespace hearth {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

}  // namespace

std::string Utf8Stream::push(std::string_view bytes) {
  std::string text;
  text.reserve(bytes.size() + pending_.size());
  for (const char byte : bytes) push_byte(static_cast<uint8_t>(byte), text);
  return text;
}

std::string Utf8Stream::flush() {
  const bool is_unfinished = missing_bytes_ > 0;
  pending_.clear();
  missing_bytes_ = 0;
  return std::string(is_unfinished ? kReplacement : std::string_view());
}

void Utf8Stream::push_byte(uint8_t byte, std::string& text) {
  if (missing_bytes_ > 0) {
    if (byte >= next_min_ && byte <= next_max_) {
      pending_.push_back(static_cast<char>(byte));
      next_min_ = 0x80;
      next_max_ = 0xBF;
      if (--missing_bytes_ == 0) {
        text += pending_;
        pending_.clear();
      }
      return;
    }
    text += flush();
  }
  if (!start_character(byte, text)) text += kReplacement;
}

/// False when no character starts with `byte`. The ranges are those of Unicode's table 3-7.
bool Utf8Stream::start_character(uint8_t byte, std::string& text) {
  if (byte < 0x80) {
    text.push_back(static_cast<char>(byte));
    return true;
  }
  if (byte < 0xC2 || byte > 0xF4) return false;
  next_min_ = byte == 0xE0 ? 0xA0 : byte == 0xF0 ? 0x90 : 0x80;
  next_max_ = byte == 0xED ? 0x9F : byte == 0xF4 ? 0x8F : 0xBF;
  missing_bytes_ = byte < 0xE0 ? 1 : byte < 0xF0 ? 2 : 3;
  pending_.assign(1, static_cast<char>(byte));
  return true;
}

}  // namespace hearth
