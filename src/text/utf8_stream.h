#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace hearth {

/// Turns bytes that arrive in any pieces into valid UTF-8. Each maximal part of an invalid sequence becomes one U+FFFD
/// (Unicode 15, section 3.9, "U+FFFD Substitution of Maximal Subparts"), so the result does not depend on the pieces.
/// Not for use by several threads at once.
class Utf8Stream {
 public:
  /// The text that `bytes` completes; at most three bytes of an unfinished character are held back.
  std::string push(std::string_view bytes);

  /// Ends the text: an unfinished character becomes U+FFFD. The stream may be used again.
  std::string flush();

 private:
  void push_byte(uint8_t byte, std::string& text);
  bool start_character(uint8_t byte, std::string& text);

  std::string pending_;
  int missing_bytes_ = 0;
  uint8_t next_min_ = 0x80;  ///< Range of the next byte; after some first bytes it is narrower than 80..BF.
  uint8_t next_max_ = 0xBF;
};

}  // namespace hearth
