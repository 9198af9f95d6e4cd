#include "formats/gguf_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "base/printable.h"

namespace hearth {
namespace {

// Vocabularies of a quarter million tokens take 10 to 20 MB; what is far beyond that is no header.
constexpr uint64_t kMaxHeaderBytes = uint64_t{512} << 20;
constexpr uint64_t kBufferBytes = uint64_t{256} << 10;

// The numbers of the value types in a file.
enum ValueType : uint32_t {
  kU8 = 0,
  kI8 = 1,
  kU16 = 2,
  kI16 = 3,
  kU32 = 4,
  kI32 = 5,
  kF32 = 6,
  kBool = 7,
  kString = 8,
  kArray = 9,
  kU64 = 10,
  kI64 = 11,
  kF64 = 12,
};

std::string named(std::string_view key) { return fmt::format("the value of key {}", printable(key)); }

}  // namespace

GgufReader::GgufReader(const File& file) : file_(file), end_(std::min(file.size_bytes(), kMaxHeaderBytes)) {}

std::unexpected<Error> GgufReader::failure(std::string_view why, ErrorCode code) const {
  return fail(code, fmt::format("{}: offset {}: {}", printable(file_.path().native(), 1024), offset_, why));
}

Result<void> GgufReader::bytes(void* out, uint64_t size, std::string_view what) {
  if (size > remaining()) {
    if (end_ < file_.size_bytes()) {
      return failure(fmt::format("{} lies beyond the {} bytes that a header may have", what, kMaxHeaderBytes),
                     ErrorCode::unsupported);
    }
    auto error = failure(fmt::format("the file ends inside {}", what));
    error.error().hint = "it is cut short; download it again";
    return error;
  }
  auto* target = static_cast<std::byte*>(out);
  while (size > 0) {
    if (offset_ < buffer_offset_ || offset_ >= buffer_offset_ + buffer_.size()) {
      buffer_.resize(std::min(kBufferBytes, remaining()));
      buffer_offset_ = offset_;
      if (auto read = file_.read_at(offset_, buffer_); !read) return pass_on(read);
    }
    const uint64_t at = offset_ - buffer_offset_;
    const uint64_t part = std::min(size, buffer_.size() - at);
    std::memcpy(target, buffer_.data() + at, part);
    target += part, offset_ += part, size -= part;
  }
  return {};
}

Result<uint64_t> GgufReader::count(std::string_view what, uint64_t least_bytes) {
  auto count = number<uint64_t>(what);
  if (!count) return count;
  if (*count > remaining() / least_bytes) {
    return failure(fmt::format("{} is {}, more than the rest of the file can hold", what, *count));
  }
  return count;
}

Result<uint64_t> GgufReader::string_length(std::string_view what) {
  auto length = number<uint64_t>(what);
  if (!length) return length;
  if (*length > remaining()) {
    return failure(fmt::format("{} is a string of {} bytes, but only {} are left", what, *length, remaining()));
  }
  return length;
}

Result<std::string> GgufReader::string(std::string_view what) {
  auto length = string_length(what);
  if (!length) return pass_on(length);
  std::string text(*length, '\0');
  if (auto read = bytes(text.data(), text.size(), what); !read) return pass_on(read);
  return text;
}

Result<GgufValue> GgufReader::value(std::string_view key) {
  auto type = number<uint32_t>(named(key));
  if (!type) return pass_on(type);
  return *type == kArray ? array(key) : scalar(*type, key);
}

template <class T>
Result<GgufValue> GgufReader::number_value(std::string_view key) {
  auto value = number<T>(named(key));
  if (!value) return pass_on(value);
  return GgufValue(*value);
}

Result<GgufValue> GgufReader::scalar(uint32_t type, std::string_view key) {
  switch (type) {
    case kU8:
      return number_value<uint8_t>(key);
    case kI8:
      return number_value<int8_t>(key);
    case kU16:
      return number_value<uint16_t>(key);
    case kI16:
      return number_value<int16_t>(key);
    case kU32:
      return number_value<uint32_t>(key);
    case kI32:
      return number_value<int32_t>(key);
    case kU64:
      return number_value<uint64_t>(key);
    case kI64:
      return number_value<int64_t>(key);
    case kF32:
      return number_value<float>(key);
    case kF64:
      return number_value<double>(key);
    case kBool: {
      auto byte = number<uint8_t>(named(key));
      if (!byte) return pass_on(byte);
      if (*byte > 1) return failure(fmt::format("{} is a bool and must be 0 or 1, not {}", named(key), *byte));
      return GgufValue(*byte == 1);
    }
    case kString: {
      auto text = string(named(key));
      if (!text) return pass_on(text);
      return GgufValue(std::move(*text));
    }
    default:
      return failure(fmt::format("{} has the type {}, which GGUF does not have", named(key), type));
  }
}

template <class T>
Result<GgufValue> GgufReader::number_array(uint64_t count, std::string_view key) {
  if (count > remaining() / sizeof(T)) {
    return failure(
        fmt::format("{} is an array of {} elements, more than the rest of the file can hold", named(key), count));
  }
  std::vector<T> values(count);
  if (auto read = bytes(values.data(), count * sizeof(T), named(key)); !read) return pass_on(read);
  return GgufValue(std::move(values));
}

Result<GgufValue> GgufReader::bool_array(uint64_t count, std::string_view key) {
  auto bytes_read = number_array<uint8_t>(count, key);
  if (!bytes_read) return bytes_read;
  BoolArray array{std::move(std::get<std::vector<uint8_t>>(*bytes_read))};
  if (std::ranges::any_of(array.values, [](uint8_t byte) { return byte > 1; })) {
    return failure(fmt::format("{} is an array of bool and must hold only 0 and 1", named(key)));
  }
  return GgufValue(std::move(array));
}

Result<GgufValue> GgufReader::string_array(uint64_t count, std::string_view key) {
  if (count > remaining() / sizeof(uint64_t)) {
    return failure(
        fmt::format("{} is an array of {} strings, more than the rest of the file can hold", named(key), count));
  }
  const std::string what = named(key);
  StringArray strings;
  for (uint64_t i = 0; i < count; ++i) {
    auto length = string_length(what);
    if (!length) return pass_on(length);
    if (auto read = bytes(strings.append(*length), *length, what); !read) return pass_on(read);
  }
  strings.shrink_to_fit();
  return GgufValue(std::move(strings));
}

Result<GgufValue> GgufReader::array(std::string_view key) {
  auto type = number<uint32_t>(named(key));
  if (!type) return pass_on(type);
  auto count = number<uint64_t>(named(key));
  if (!count) return pass_on(count);
  switch (*type) {
    case kU8:
      return number_array<uint8_t>(*count, key);
    case kI8:
      return number_array<int8_t>(*count, key);
    case kU16:
      return number_array<uint16_t>(*count, key);
    case kI16:
      return number_array<int16_t>(*count, key);
    case kU32:
      return number_array<uint32_t>(*count, key);
    case kI32:
      return number_array<int32_t>(*count, key);
    case kU64:
      return number_array<uint64_t>(*count, key);
    case kI64:
      return number_array<int64_t>(*count, key);
    case kF32:
      return number_array<float>(*count, key);
    case kF64:
      return number_array<double>(*count, key);
    case kBool:
      return bool_array(*count, key);
    case kString:
      return string_array(*count, key);
    case kArray:
      return failure(fmt::format("{} is an array of arrays", named(key)), ErrorCode::unsupported);
    default:
      return failure(fmt::format("{} is an array of type {}, which GGUF does not have", named(key), *type));
  }
}

}  // namespace hearth
