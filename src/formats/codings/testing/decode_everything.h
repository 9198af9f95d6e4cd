#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "base/json.h"
#include "base/testing/source_folder.h"
#include "formats/codings/codings.h"
#include "formats/safetensors.h"
#include "formats/test_files.h"

namespace hearth::codings {

/// Opens the bytes as a safetensors file whose __metadata__ has config.json's quantization_config as a text, joins what
/// is coded, and decodes all of it: nothing that a file says may lead outside its bytes. The number of coded tensors.
inline size_t decode_everything(std::string_view bytes) {
  const test_files::MemoryFile memory(bytes);
  const auto file = File::open(memory.path());
  if (!file) return 0;
  const auto header = read_safetensors_header(*file);
  if (!header) return 0;
  StoredTensors stored;
  for (const TensorInfo& tensor : header->tensors) stored.tensors.emplace(tensor.name, tensor);
  for (const auto& [name, why] : header->unsupported) stored.unsupported.emplace(name, why);
  for (const auto& [key, text] : header->metadata) stored.metadata.emplace(key, text);
  join_layered(stored);
  if (const auto config = stored.metadata.find("quantization_config"); config != stored.metadata.end()) {
    const auto quantization = parse_json(config->second, "quantization_config");
    if (quantization) static_cast<void>(join_quantized(stored, *quantization));
  }
  size_t coded = 0;
  for (const auto& [name, tensor] : stored.tensors) {
    if (tensor.coding == nullptr) continue;
    ++coded;
    std::vector<std::byte> parts;
    for (const StoredPart& part : tensor.coding->parts()) {
      const auto all = std::as_bytes(std::span(bytes));
      parts.insert(parts.end(), all.begin() + static_cast<ptrdiff_t>(part.offset),
                   all.begin() + static_cast<ptrdiff_t>(part.offset + part.bytes));
    }
    const CodedRows rows{.first = 0, .count = tensor.coding->rows()};
    std::vector<std::byte> out(bytes_of(tensor.format, rows.count * tensor.coding->columns()));
    static_cast<void>(tensor.coding->decode(rows, parts, tensor.format, out));
  }
  return coded;
}

/// The files of testdata/coded as decode_everything wants them.
inline std::vector<std::string> coded_seeds() {
  std::vector<std::string> seeds;
  for (const auto& entry : std::filesystem::directory_iterator(source_folder() / "src/formats/testdata/coded")) {
    const auto config = parse_json(read_whole_file(entry.path() / "config.json").value(), "config.json").value();
    const std::string file = read_whole_file(entry.path() / "model.safetensors").value();
    uint64_t length = 0;
    std::memcpy(&length, file.data(), sizeof(length));
    nlohmann::json header = parse_json(file.substr(sizeof(length), length), "header").value();
    header["__metadata__"]["quantization_config"] = config["quantization_config"].dump();
    seeds.push_back(test_files::safetensors(header.dump(), file.substr(sizeof(length) + length)));
  }
  return seeds;
}

}  // namespace hearth::codings
