#pragma once

#include <bit>
#include <cstdint>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "base/file.h"
#include "base/result.h"
#include "formats/gguf_metadata.h"

namespace hearth {

/// Reads the header of a GGUF file front to back, through a buffer, so that nothing but the header is read. Every
/// length is checked against what is left of the file before memory is taken for it.
class GgufReader {
 public:
  /// `file` must outlive the reader.
  explicit GgufReader(const File& file);

  uint64_t offset() const { return offset_; }

  /// Bytes from here to the end of the file, or to the most that a header may have.
  uint64_t remaining() const { return end_ - offset_; }

  /// `what` names in the error message what is cut off: "the number of tensors".
  template <class T>
  Result<T> number(std::string_view what) {
    static_assert(std::is_arithmetic_v<T> && !std::is_same_v<T, bool> && std::endian::native == std::endian::little);
    T value;
    if (auto read = bytes(&value, sizeof(value), what); !read) return pass_on(read);
    return value;
  }
  Result<std::string> string(std::string_view what);

  /// A metadata value: its type, then itself.
  Result<GgufValue> value(std::string_view key);

  /// A number of things of at least `least_bytes` each, refused when they cannot fit.
  Result<uint64_t> count(std::string_view what, uint64_t least_bytes);

  /// `corrupt` (or another code), starting with the path and the offset.
  std::unexpected<Error> failure(std::string_view why, ErrorCode code = ErrorCode::corrupt) const;

 private:
  Result<void> bytes(void* out, uint64_t size, std::string_view what);
  Result<uint64_t> string_length(std::string_view what);
  Result<GgufValue> scalar(uint32_t type, std::string_view key);
  Result<GgufValue> array(std::string_view key);
  Result<GgufValue> string_array(uint64_t count, std::string_view key);
  Result<GgufValue> bool_array(uint64_t count, std::string_view key);
  template <class T>
  Result<GgufValue> number_value(std::string_view key);
  template <class T>
  Result<GgufValue> number_array(uint64_t count, std::string_view key);

  const File& file_;
  uint64_t end_;
  uint64_t offset_ = 0;
  std::vector<std::byte> buffer_;  // bytes of the file from buffer_offset_ on
  uint64_t buffer_offset_ = 0;
};

}  // namespace hearth
