#pragma once

// For the tests of this folder: golden files, the cache, and vocabularies read from GGUF files.

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <vector>

#include "base/testing/source_folder.h"
#include "text/gguf_vocabulary.h"

namespace hearth::test {

inline std::string read_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file)
    throw std::runtime_error(path.string() + " is missing; `make test` or tools/fetch_tokenizers.sh brings it");
  return {std::istreambuf_iterator<char>(file), {}};
}

/// A file in the cache folder that the set-up fills.
inline std::string cache_path(const std::string& name) {
  const char* folder = std::getenv("HEARTH_CACHE");
  const char* home = std::getenv("HOME");
  return (folder && *folder ? std::string(folder) : std::string(home ? home : "") + "/.cache/hearth") + "/" + name;
}

inline std::string tokenizer_file(const std::string& name, const std::string& file) {
  return read_file(cache_path("tokenizers/" + name + "/" + file));
}

/// testdata/<name>.json; make_goldens.py describes it.
inline const nlohmann::ordered_json& goldens(const std::string& name) {
  static std::map<std::string, nlohmann::ordered_json> parsed;
  nlohmann::ordered_json& golden = parsed[name];
  if (golden.is_null()) {
    golden = nlohmann::ordered_json::parse(read_file(source_folder() / "src/text/testdata" / (name + ".json")));
  }
  return golden;
}

/// Reads a GGUF file's metadata with as few lines as will do, so that this folder's tests need no folder beside it.
/// Throws on what it does not expect.
class GgufMetadata {
 public:
  explicit GgufMetadata(const std::string& path) : file_(path, std::ios::binary) {
    if (!file_) throw std::runtime_error(path + " is missing; `make test` fetches it");
    file_.exceptions(std::ios::failbit | std::ios::badbit | std::ios::eofbit);
    file_.ignore(16);  // magic, version, number of tensors
    for (auto count = read<uint64_t>(); count > 0; --count) {
      const std::string key = read_string();
      read_value(key, read<uint32_t>());
    }
  }

  GgufVocabulary vocabulary() {
    return {.model = texts_["tokenizer.ggml.model"].at(0),
            .pre = texts_["tokenizer.ggml.pre"].at(0),
            .tokens = texts_["tokenizer.ggml.tokens"],
            .scores = {numbers_["tokenizer.ggml.scores"].begin(), numbers_["tokenizer.ggml.scores"].end()},
            .token_types = {numbers_["tokenizer.ggml.token_type"].begin(), numbers_["tokenizer.ggml.token_type"].end()},
            .merges = texts_["tokenizer.ggml.merges"],
            .bos = number<uint32_t>("bos_token_id"),
            .eos = number<uint32_t>("eos_token_id"),
            .eot = number<uint32_t>("eot_token_id"),
            .unknown = number<uint32_t>("unknown_token_id"),
            .add_bos = number<bool>("add_bos_token"),
            .add_eos = number<bool>("add_eos_token"),
            .add_space_prefix = number<bool>("add_space_prefix")};
  }

  std::string chat_template() { return texts_["tokenizer.chat_template"].at(0); }

 private:
  template <class T>
  T read() {
    T value;
    file_.read(reinterpret_cast<char*>(&value), sizeof value);
    return value;
  }

  std::string read_string() {
    std::string text(read<uint64_t>(), '\0');
    file_.read(text.data(), static_cast<std::streamsize>(text.size()));
    return text;
  }

  template <class T>
  std::optional<T> number(const std::string& name) {
    const std::vector<double>& values = numbers_["tokenizer.ggml." + name];
    if (values.empty()) return std::nullopt;
    return static_cast<T>(values[0]);
  }

  void read_value(const std::string& key, uint32_t type) {
    switch (type) {
      case 0:
      case 1:
      case 7:
        return numbers_[key].push_back(read<uint8_t>());
      case 2:
      case 3:
        return numbers_[key].push_back(read<uint16_t>());
      case 4:
        return numbers_[key].push_back(read<uint32_t>());
      case 5:
        return numbers_[key].push_back(read<int32_t>());
      case 6:
        return numbers_[key].push_back(read<float>());
      case 8:
        return texts_[key].push_back(read_string());
      case 10:
      case 11:
        return numbers_[key].push_back(static_cast<double>(read<uint64_t>()));
      case 12:
        return numbers_[key].push_back(read<double>());
      case 9:
        break;
      default:
        throw std::runtime_error("unknown type of metadata");
    }
    const auto item_type = read<uint32_t>();
    for (auto count = read<uint64_t>(); count > 0; --count) read_value(key, item_type);
  }

  std::ifstream file_;
  std::map<std::string, std::vector<std::string>> texts_;
  std::map<std::string, std::vector<double>> numbers_;
};

inline GgufMetadata gguf_metadata(const std::string& model) { return GgufMetadata(cache_path("models/" + model)); }

}  // namespace hearth::test
