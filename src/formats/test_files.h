#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <iterator>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "formats/checkpoint.h"

// For tests only: writers of small GGUF and safetensors files that can also write what no sane program would.

namespace hearth::test_files {

/// A file in memory that can be opened by its path.
class MemoryFile {
 public:
  explicit MemoryFile(std::string_view bytes) : descriptor_(::memfd_create("hearth_test", MFD_CLOEXEC)) {
    written_ =
        descriptor_ >= 0 && ::write(descriptor_, bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size());
  }
  ~MemoryFile() { ::close(descriptor_); }
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;

  bool ok() const { return written_; }
  std::filesystem::path path() const { return "/proc/self/fd/" + std::to_string(descriptor_); }

 private:
  int descriptor_;
  bool written_ = false;
};

/// Bytes in file order.
class Bytes {
 public:
  template <class T>
  Bytes& number(T value) {
    static_assert(std::is_arithmetic_v<T>);
    text_.append(reinterpret_cast<const char*>(&value), sizeof(value));
    return *this;
  }
  Bytes& string(std::string_view text) { return number(uint64_t{text.size()}).raw(text); }
  Bytes& raw(std::string_view text) {
    text_.append(text);
    return *this;
  }
  const std::string& text() const { return text_; }

 private:
  std::string text_;
};

/// The number of a value type in a GGUF file.
template <class T>
constexpr uint32_t kGgufValueType = 8;  // a string
template <>
inline constexpr uint32_t kGgufValueType<uint8_t> = 0;
template <>
inline constexpr uint32_t kGgufValueType<int8_t> = 1;
template <>
inline constexpr uint32_t kGgufValueType<uint16_t> = 2;
template <>
inline constexpr uint32_t kGgufValueType<int16_t> = 3;
template <>
inline constexpr uint32_t kGgufValueType<uint32_t> = 4;
template <>
inline constexpr uint32_t kGgufValueType<int32_t> = 5;
template <>
inline constexpr uint32_t kGgufValueType<float> = 6;
template <>
inline constexpr uint32_t kGgufValueType<bool> = 7;
template <>
inline constexpr uint32_t kGgufValueType<uint64_t> = 10;
template <>
inline constexpr uint32_t kGgufValueType<int64_t> = 11;
template <>
inline constexpr uint32_t kGgufValueType<double> = 12;

/// Writes what it is told. Tensors lie one behind the other unless told otherwise; `claimed_*` replace true counts.
struct GgufBuilder {
  struct Tensor {
    std::string name;
    uint32_t type = 0;
    std::vector<uint64_t> innermost_first;
    uint64_t offset = 0;
  };

  std::string magic = "GGUF";
  uint32_t version = 3;
  std::vector<std::string> keys;  // with their values, as bytes
  std::vector<Tensor> tensors;
  std::string data;
  uint64_t alignment = 32;
  uint64_t claimed_tensors = UINT64_MAX;
  uint64_t claimed_keys = UINT64_MAX;

  template <class T>
  GgufBuilder& key(std::string_view name, T value) {
    keys.push_back(Bytes().string(name).number(kGgufValueType<T>).number(value).text());
    return *this;
  }
  GgufBuilder& key(std::string_view name, const char* value) {
    keys.push_back(Bytes().string(name).number(uint32_t{8}).string(value).text());
    return *this;
  }
  template <class T>
  GgufBuilder& array(std::string_view name, const std::vector<T>& values) {
    Bytes bytes;
    bytes.string(name).number(uint32_t{9}).number(kGgufValueType<T>).number(uint64_t{values.size()});
    for (const T& value : values) {
      if constexpr (std::is_arithmetic_v<T>) {
        bytes.number(value);
      } else {
        bytes.string(value);
      }
    }
    keys.push_back(bytes.text());
    return *this;
  }
  GgufBuilder& raw_key(std::string_view name, uint32_t type, const Bytes& value) {
    keys.push_back(Bytes().string(name).number(type).raw(value.text()).text());
    return *this;
  }

  /// A tensor with its bytes, at the end of the data.
  GgufBuilder& tensor(std::string_view name, uint32_t type, std::vector<uint64_t> innermost_first,
                      std::string_view bytes) {
    data.resize((data.size() + alignment - 1) / alignment * alignment);
    tensors.push_back({std::string(name), type, std::move(innermost_first), data.size()});
    data += bytes;
    return *this;
  }

  std::string build() const {
    Bytes out;
    out.raw(magic).number(version);
    out.number(claimed_tensors != UINT64_MAX ? claimed_tensors : uint64_t{tensors.size()});
    out.number(claimed_keys != UINT64_MAX ? claimed_keys : uint64_t{keys.size()});
    for (const std::string& bytes : keys) out.raw(bytes);
    for (const Tensor& t : tensors) {
      out.string(t.name).number(static_cast<uint32_t>(t.innermost_first.size()));
      for (const uint64_t dimension : t.innermost_first) out.number(dimension);
      out.number(t.type).number(t.offset);
    }
    std::string text = out.text();
    text.resize((text.size() + alignment - 1) / alignment * alignment);
    return text + data;
  }
};

/// A GGUF file of about a kilobyte with a value of every type and tensors of several.
inline GgufBuilder small_gguf() {
  GgufBuilder gguf;
  gguf.key("general.architecture", "llama").key("general.alignment", uint32_t{32});
  gguf.key("a.u8", uint8_t{200}).key("a.i8", int8_t{-3}).key("a.u16", uint16_t{60000}).key("a.i16", int16_t{-300});
  gguf.key("a.u32", uint32_t{4000000000}).key("a.i32", int32_t{-70000}).key("a.u64", uint64_t{1} << 40);
  gguf.key("a.i64", -(int64_t{1} << 40)).key("a.f32", 0.5f).key("a.f64", 0.25).key("a.bool", true);
  gguf.array<std::string>("tokens", {"<s>", "", "hello", "\xc3\xa4"});
  gguf.array<float>("scores", {0.0f, -1.0f, -2.5f, 3.0f}).array<int32_t>("types", {3, 1, 1, -1});
  gguf.array<bool>("pattern", {true, false, true}).array<uint8_t>("empty", {});
  gguf.tensor("norm", 0, {4}, std::string(16, '\1')).tensor("q8", 8, {32, 2}, std::string(68, '\2'));
  gguf.tensor("matrix", 1, {3, 5}, std::string(30, '\3')).tensor("q4_k", 12, {256, 1}, std::string(144, '\4'));
  gguf.tensor("nvfp4", 40, {256}, std::string(144, '\5'));
  return gguf;
}

/// length, header, data.
inline std::string safetensors(std::string_view header, std::string_view data) {
  return Bytes().string(header).raw(data).text();
}

/// Tensors one behind the other, and texts in __metadata__.
struct SafetensorsBuilder {
  nlohmann::json header = nlohmann::json::object();
  std::string data;

  SafetensorsBuilder& tensor(const std::string& name, const char* dtype, const std::vector<int64_t>& shape,
                             std::string_view bytes) {
    header[name] = {{"dtype", dtype}, {"shape", shape}, {"data_offsets", {data.size(), data.size() + bytes.size()}}};
    data += bytes;
    return *this;
  }
  template <class T>
  SafetensorsBuilder& numbers(const std::string& name, const char* dtype, const std::vector<int64_t>& shape,
                              const std::vector<T>& values) {
    return tensor(name, dtype, shape, {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)});
  }
  SafetensorsBuilder& metadata(const std::string& key, const std::string& text) {
    header["__metadata__"][key] = text;
    return *this;
  }
  std::string build() const { return safetensors(header.dump(), data); }
};

/// A safetensors file of every format that hearth reads and one that it does not.
inline std::string small_safetensors() {
  return safetensors(
      R"({"__metadata__":{"format":"pt"},)"
      R"("a":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},)"
      R"("b.weight":{"dtype":"BF16","shape":[5],"data_offsets":[24,34]},)"
      R"("c":{"dtype":"F16","shape":[1,1,2],"data_offsets":[34,38]},)"
      R"("scalar":{"dtype":"I32","shape":[],"data_offsets":[38,42]},)"
      R"("d":{"dtype":"I8","shape":[3],"data_offsets":[42,45]},"e":{"dtype":"U8","shape":[1],"data_offsets":[45,46]},)"
      R"("f":{"dtype":"I64","shape":[1],"data_offsets":[46,54]}}  )",
      std::string(54, '\7'));
}

/// Changes `bytes` in a few places, as a damaged or hostile file would be: bits, lengths, cuts, repeats.
inline void mutate(std::string& bytes, std::mt19937& random) {
  constexpr uint64_t kNumbers[] = {0,          1,          31,         32,         255,        256,   0x7fffffff,
                                   0x80000000, 0xffffffff, 1ull << 32, 1ull << 60, 1ull << 63, ~0ull, ~0ull - 7};
  const auto below = [&](size_t limit) { return static_cast<size_t>(random() % (limit == 0 ? 1 : limit)); };
  for (size_t change = 0, changes = 1 + below(3); change < changes && !bytes.empty(); ++change) {
    const size_t at = below(bytes.size());
    switch (below(7)) {
      case 0:
        bytes[at] = static_cast<char>(bytes[at] ^ 1 << below(8));
        break;
      case 1:
        bytes[at] = static_cast<char>(below(256));
        break;
      case 2:
      case 3: {
        const uint64_t number = kNumbers[below(std::size(kNumbers))];
        std::memcpy(bytes.data() + at, &number, std::min(bytes.size() - at, size_t{4} << below(2)));
        break;
      }
      case 4:
        bytes.resize(at);
        break;
      case 5:
        bytes.erase(at, 1 + below(16));
        break;
      default:
        bytes.insert(below(bytes.size()), bytes.substr(at, 1 + below(64)));
    }
  }
}

/// What a checkpoint that opened promises about its tensors; the promise that it breaks, or nothing.
inline std::string broken_promise(const Checkpoint& checkpoint) {
  for (const TensorInfo& tensor : checkpoint.tensors()) {
    uint64_t values = 1;
    for (const int64_t dimension : tensor.shape) {
      if (dimension <= 0) return "a dimension is not positive";
      values *= static_cast<uint64_t>(dimension);
    }
    if (tensor.coding) return "no tensor here is coded";
    if (tensor.bytes != bytes_of(tensor.format, values)) return "the bytes do not fit format and shape";
    if (tensor.file >= checkpoint.file_count()) return "there is no such file";
    const uint64_t file_bytes = checkpoint.file(tensor.file).size_bytes();
    if (tensor.offset > file_bytes || tensor.bytes > file_bytes - tensor.offset) return "it lies outside the file";
    const auto found = checkpoint.find(tensor.name);
    if (!found || found->offset != tensor.offset) return "it is not found by its name";
    std::vector<std::byte> bytes(tensor.bytes);
    if (!checkpoint.read(tensor, 0, bytes)) return "it cannot be read";
  }
  return "";
}

}  // namespace hearth::test_files
