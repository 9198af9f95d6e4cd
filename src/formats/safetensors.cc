#include "formats/safetensors.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>
#include <optional>
#include <utility>

#include "base/json.h"
#include "base/printable.h"

namespace hearth {
namespace {

using nlohmann::json;

// A quarter million tensors take about 30 MB of header.
constexpr uint64_t kMaxHeaderBytes = uint64_t{32} << 20;
constexpr uint64_t kLengthBytes = 8;

std::optional<NumberFormat> format_of(std::string_view dtype) {
  constexpr std::pair<std::string_view, NumberFormat> kFormats[] = {
      {"F32", NumberFormat::f32},         {"F16", NumberFormat::f16},         {"BF16", NumberFormat::bf16},
      {"I8", NumberFormat::i8},           {"U8", NumberFormat::u8},           {"I32", NumberFormat::i32},
      {"F8_E4M3", NumberFormat::f8_e4m3}, {"F8_E5M2", NumberFormat::f8_e5m2}, {"F8_E8M0", NumberFormat::f8_e8m0}};
  const auto* found = std::ranges::find(kFormats, dtype, &std::pair<std::string_view, NumberFormat>::first);
  return found == std::end(kFormats) ? std::nullopt : std::optional(found->second);
}

/// One entry of the header, with offsets from the beginning of the data.
struct Entry {
  std::string name;
  std::string dtype;
  std::vector<int64_t> shape;
  uint64_t begin = 0;
  uint64_t end = 0;
};

/// Reads one file's header; every member function's error starts with the path.
class HeaderReader {
 public:
  explicit HeaderReader(const File& file) : file_(file), path_(printable(file.path().native(), 1024)) {}

  Result<SafetensorsHeader> read() {
    auto text = read_text();
    if (!text) return pass_on(text);
    auto parsed = parse_json(*text, path_, {.max_depth = 4, .unique_keys = true});
    if (!parsed) return pass_on(parsed);
    if (!parsed->is_object()) return failure("the header is not a JSON object");

    SafetensorsHeader header;
    std::vector<Entry> entries;
    for (const auto& [name, value] : parsed->items()) {
      if (name == "__metadata__") {
        if (auto read = read_metadata(value, header); !read) return pass_on(read);
        continue;
      }
      auto entry = read_entry(name, value);
      if (!entry) return pass_on(entry);
      entries.push_back(std::move(*entry));
    }
    const uint64_t data_begin = kLengthBytes + text->size();
    if (auto checked = check_places(entries, file_.size_bytes() - data_begin); !checked) return pass_on(checked);
    for (Entry& entry : entries) {
      if (auto added = add(std::move(entry), data_begin, header); !added) return pass_on(added);
    }
    return header;
  }

 private:
  std::unexpected<Error> failure(std::string_view why, std::string hint = {}) const {
    return fail(ErrorCode::corrupt, fmt::format("{}: {}", path_, why), std::move(hint));
  }

  static std::string of_tensor(const std::string& name, std::string_view what) {
    return fmt::format("tensor {}: {}", printable(name), what);
  }

  Result<std::string> read_text() {
    if (file_.size_bytes() < kLengthBytes) {
      return failure("not a safetensors file: it is shorter than the length of its header", "download it again");
    }
    uint64_t length = 0;
    static_assert(std::endian::native == std::endian::little);
    if (auto read = file_.read_at(0, std::as_writable_bytes(std::span(&length, 1))); !read) return pass_on(read);
    if (length > file_.size_bytes() - kLengthBytes) {
      return failure(
          fmt::format("the header should have {} bytes, but the file has only {}", length, file_.size_bytes()),
          "it is cut short or no safetensors file; download it again");
    }
    if (length > kMaxHeaderBytes) {
      return failure(
          fmt::format("a header of {} bytes is more than the {} that hearth reads", length, kMaxHeaderBytes));
    }
    std::string text(length, '\0');
    if (auto read = file_.read_at(kLengthBytes, std::as_writable_bytes(std::span(text))); !read) return pass_on(read);
    if (!text.starts_with('{')) return failure("not a safetensors file: its header does not start with '{'");
    return text;
  }

  Result<void> read_metadata(const json& value, SafetensorsHeader& header) const {
    if (!value.is_object()) return failure("__metadata__ is not an object");
    for (const auto& [key, text] : value.items()) {
      if (!text.is_string()) return failure(fmt::format("__metadata__: {} is not a string", printable(key)));
      header.metadata.emplace(key, text.get<std::string>());
    }
    return {};
  }

  Result<Entry> read_entry(const std::string& name, const json& value) const {
    const auto wrong = [&](std::string_view what) { return failure(of_tensor(name, what)); };
    if (name.empty()) return failure("a tensor without a name");
    if (!value.is_object() || value.size() != 3 || !value.contains("dtype") || !value.contains("shape") ||
        !value.contains("data_offsets")) {
      return wrong("must have exactly dtype, shape and data_offsets");
    }
    const json &dtype = value["dtype"], &shape = value["shape"], &offsets = value["data_offsets"];
    if (!dtype.is_string()) return wrong("dtype is not a string");
    if (!shape.is_array()) return wrong("shape is not an array");
    if (!offsets.is_array() || offsets.size() != 2 || !offsets[0].is_number_unsigned() ||
        !offsets[1].is_number_unsigned()) {
      return wrong("data_offsets are not two integers");
    }
    Entry entry{name, dtype.get<std::string>(), {}, offsets[0].get<uint64_t>(), offsets[1].get<uint64_t>()};
    for (const json& dimension : shape) {
      constexpr auto kMost = static_cast<uint64_t>(std::numeric_limits<int64_t>::max());
      if (!dimension.is_number_unsigned() || dimension.get<uint64_t>() > kMost) {
        return wrong("shape holds something that is not a length");
      }
      entry.shape.push_back(static_cast<int64_t>(dimension.get<uint64_t>()));
    }
    return entry;
  }

  /// From the first byte of the data to the last, without overlap and without a hole. Sorts by place.
  Result<void> check_places(std::vector<Entry>& entries, uint64_t data_bytes) const {
    std::ranges::sort(entries, {}, [](const Entry& entry) { return std::pair(entry.begin, entry.end); });
    uint64_t expected = 0;
    for (const Entry& entry : entries) {
      const auto wrong = [&](std::string_view what) {
        return failure(of_tensor(entry.name, fmt::format("bytes {} to {} {}", entry.begin, entry.end, what)));
      };
      if (entry.end < entry.begin) return wrong("end before they begin");
      if (entry.end > data_bytes) return wrong(fmt::format("reach beyond the {} bytes of data", data_bytes));
      if (entry.begin < expected) return wrong(fmt::format("overlap the tensor that ends at {}", expected));
      if (entry.begin > expected) return wrong(fmt::format("leave a hole behind {}", expected));
      expected = entry.end;
    }
    if (expected != data_bytes) {
      return failure(fmt::format("the tensors end at {} of {} bytes of data", expected, data_bytes),
                     "the file is damaged; download it again");
    }
    return {};
  }

  /// Appends the entry to the tensors when hearth can read it, else to `unsupported`.
  Result<void> add(Entry entry, uint64_t data_begin, SafetensorsHeader& header) const {
    const std::optional<NumberFormat> format = format_of(entry.dtype);
    if (!format) {
      header.unsupported.push_back(
          {std::move(entry.name), fmt::format("its number format {} is not supported", printable(entry.dtype))});
      return {};
    }
    const uint64_t value_bytes = traits(*format).block_bytes;
    uint64_t bytes = value_bytes;
    for (const int64_t dimension : entry.shape) {
      const auto length = static_cast<uint64_t>(dimension);
      if (length != 0 && bytes > std::numeric_limits<uint64_t>::max() / length) {
        return failure(of_tensor(entry.name, "has more bytes than can be counted"));
      }
      bytes *= length;
    }
    if (bytes != entry.end - entry.begin) {
      return failure(of_tensor(entry.name, fmt::format("its {} and shape need {} bytes, and it has {}", entry.dtype,
                                                       bytes, entry.end - entry.begin)));
    }
    if (bytes == 0) {
      header.unsupported.push_back({std::move(entry.name), "its shape has a dimension of 0"});
      return {};
    }
    header.tensors.push_back(
        {std::move(entry.name), *format, std::move(entry.shape), 0, data_begin + entry.begin, bytes});
    return {};
  }

  const File& file_;
  const std::string path_;
};

}  // namespace

Result<SafetensorsHeader> read_safetensors_header(const File& file) { return HeaderReader(file).read(); }

}  // namespace hearth
