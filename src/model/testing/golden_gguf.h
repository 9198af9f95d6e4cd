#pragma once

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/file.h"
#include "formats/checkpoint.h"
#include "formats/gguf_types.h"
#include "formats/test_files.h"
#include "tensor/quantize.h"

namespace hearth {

/// A golden as llama.cpp's converter writes it, made again from the golden's own tensors and the description of that
/// file (gguf.json, by tests/describe_gguf.py).
class GoldenGguf {
 public:
  /// `of_experts` is the format of their weights where it is not the file's.
  explicit GoldenGguf(const std::filesystem::path& golden, std::optional<NumberFormat> of_experts = {})
      : of_experts_(of_experts),
        source_(open_checkpoint(golden).value()),
        description_(nlohmann::json::parse(read_whole_file(golden / "gguf.json").value())),
        file_(build()),
        checkpoint_(open_checkpoint(file_.path()).value()) {}

  const Checkpoint& checkpoint() const { return *checkpoint_; }

 private:
  using Json = nlohmann::json;

  std::string build() const {
    test_files::GgufBuilder gguf;
    for (const auto& [key, field] : description_["metadata"].items()) add(gguf, key, field);
    for (const Json& tensor : description_["tensors"]) {
      std::vector<uint64_t> innermost_first = tensor["shape"];
      std::ranges::reverse(innermost_first);
      const std::string name = tensor["name"];
      const bool other = of_experts_ && name.ends_with("_exps.weight");
      if (other) {
        gguf.tensor(name, *gguf_tensor_type_of(*of_experts_), innermost_first, narrowed(bytes_of(tensor)));
      } else {
        gguf.tensor(name, tensor["type"], innermost_first, bytes_of(tensor));
      }
    }
    return gguf.build();
  }

  /// bf16 in the experts' format.
  std::string narrowed(const std::string& bf16) const {
    const std::vector<float> values = widened(bf16, 0.0F);
    std::string bytes(hearth::bytes_of(*of_experts_, values.size()), ' ');
    quantize_row(*of_experts_, values, std::as_writable_bytes(std::span(bytes)));
    return bytes;
  }

  static void add(test_files::GgufBuilder& gguf, const std::string& key, const Json& field) {
    const std::string type = field["type"];
    const Json& value = field["value"];
    if (type == "string") gguf.key(key, value.get<std::string>().c_str());
    if (type == "uint32") gguf.key(key, value.get<uint32_t>());
    if (type == "int32") gguf.key(key, value.get<int32_t>());
    if (type == "float32") gguf.key(key, value.get<float>());
    if (type == "bool") gguf.key(key, value.get<bool>());
    if (type != "array") return;
    const std::string of = field["of"];
    if (of == "float32") gguf.array<float>(key, value);
    if (of == "bool") gguf.array<bool>(key, value);
    if (of == "int32") gguf.array<int32_t>(key, value);
    if (of == "uint32") gguf.array<uint32_t>(key, value);
  }

  /// Types are GGUF's: 0 is f32, 30 bf16.
  std::string bytes_of(const Json& tensor) const {
    std::vector<float> values;
    if (tensor.contains("values")) {
      values = tensor["values"].get<std::vector<float>>();
    } else if (tensor.contains("from_experts")) {
      return bytes_of_experts(tensor);
    } else {
      const TensorInfo info = source_->find(tensor["from"].get<std::string>()).value();
      std::string bytes(info.bytes, ' ');
      const auto read = source_->read(info, 0, std::as_writable_bytes(std::span(bytes)));
      if (!read) return {};
      if (tensor.contains("rows")) bytes = taken(bytes, tensor["rows"], 1, info.shape.back());
      if (tensor.contains("columns")) bytes = taken(bytes, tensor["columns"], info.shape[0], 1);
      if (tensor.contains("every")) bytes = every(bytes, info, tensor["every"], tensor["transposed"]);
      if (tensor.contains("permuted_heads")) bytes = permuted(bytes, info, tensor["permuted_heads"]);
      if (tensor["type"] == 30) return bytes;
      values = widened(bytes, tensor.value("plus", 0.0F));
    }
    return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float)};
  }

  /// One expert's tensor after another, in bf16.
  std::string bytes_of_experts(const Json& tensor) const {
    const std::string pattern = tensor["from_experts"];
    std::string all;
    for (uint32_t expert = 0; expert < tensor["shape"][0]; ++expert) {
      std::string name = pattern;
      name.replace(name.find("{}"), 2, std::to_string(expert));
      all += bytes_of({{"from", name}, {"type", tensor["type"]}});
    }
    return all;
  }

  static std::vector<float> widened(const std::string& bf16, float plus) {
    std::vector<float> values(bf16.size() / 2);
    for (size_t i = 0; i < values.size(); ++i) {
      uint16_t half = 0;
      std::memcpy(&half, bf16.data() + 2 * i, 2);
      const uint32_t whole = uint32_t{half} << 16;
      std::memcpy(&values[i], &whole, sizeof(whole));
      values[i] += plus;
    }
    return values;
  }

  /// Of each of `parts` of a bf16 tensor the pieces [first, count] of `width` values, in their order.
  static std::string taken(const std::string& bytes, const Json& ranges, int64_t parts, int64_t width) {
    const size_t part_bytes = bytes.size() / static_cast<size_t>(parts), unit = 2 * static_cast<size_t>(width);
    std::string out;
    for (size_t begin = 0; begin < bytes.size(); begin += part_bytes) {
      for (const Json& range : ranges) {
        out += bytes.substr(begin + range[0].get<size_t>() * unit, range[1].get<size_t>() * unit);
      }
    }
    return out;
  }

  /// The columns first, first + step ... before end of a bf16 tensor, as the rows of each matrix where it is
  /// `transposed`.
  static std::string every(const std::string& bytes, const TensorInfo& info, const Json& columns, bool transposed) {
    const auto cols = static_cast<size_t>(info.shape.back());
    const size_t rows = info.shape.size() > 2 ? static_cast<size_t>(info.shape[info.shape.size() - 2]) : 1;
    const size_t first = columns[0], end = columns[1], step = columns[2], taken = (end - first + step - 1) / step;
    std::string out;
    for (size_t begin = 0; begin < bytes.size(); begin += 2 * rows * cols) {
      for (size_t i = 0; i < rows * taken; ++i) {
        const size_t row = transposed ? i % rows : i / taken, column = transposed ? i / rows : i % taken;
        out += bytes.substr(begin + 2 * (row * cols + first + column * step), 2);
      }
    }
    return out;
  }

  /// Rows whose pairs lie half a head apart, as neighbours.
  static std::string permuted(const std::string& bytes, const TensorInfo& info, size_t heads) {
    const auto rows = static_cast<size_t>(info.shape[0]);
    const size_t row_bytes = bytes.size() / rows, head = rows / heads;
    std::string out;
    for (size_t row = 0; row < rows; ++row) {
      const size_t in_head = row % head;
      const size_t from = row - in_head + in_head / 2 + in_head % 2 * (head / 2);
      out += bytes.substr(from * row_bytes, row_bytes);
    }
    return out;
  }

  std::optional<NumberFormat> of_experts_;
  std::unique_ptr<Checkpoint> source_;
  Json description_;
  test_files::MemoryFile file_;
  std::unique_ptr<Checkpoint> checkpoint_;
};

}  // namespace hearth
