#include "formats/huggingface.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>
#include <system_error>
#include <utility>
#include <vector>

#include "base/json.h"
#include "base/printable.h"
#include "base/reading/read_watch.h"
#include "formats/lfs_pointer.h"
#include "formats/safetensors.h"

namespace hearth {
namespace {

using nlohmann::json;

constexpr const char* kWeights = "model.safetensors";
constexpr const char* kIndex = "model.safetensors.index.json";

std::string shown(const std::filesystem::path& path) { return printable(path.native(), 1024); }

bool is_there(const std::filesystem::path& path) {
  const AsksFile asks(path, 0, 0);
  std::error_code error;
  return std::filesystem::exists(path, error);
}

/// Python writes numbers that JSON does not have as bare words; they become null.
std::string without_bare_words(std::string text) {
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    if (in_string && text[i] == '\\') {
      ++i;
    } else if (text[i] == '"') {
      in_string = !in_string;
    } else if (!in_string) {
      for (const std::string_view word : {"-Infinity", "Infinity", "NaN"}) {
        if (std::string_view(text).substr(i).starts_with(word)) text.replace(i, word.size(), "null");
      }
    }
  }
  return text;
}

Result<json> read_object(const std::filesystem::path& path) {
  auto text = read_whole_file(path);
  if (!text) return pass_on(text);
  auto value = parse_json(without_bare_words(std::move(*text)), path.native());
  if (value && !value->is_object()) {
    return fail(ErrorCode::corrupt, fmt::format("{}: not a JSON object", shown(path)));
  }
  return value;
}

/// null when the file is not there.
Result<json> read_optional_object(const std::filesystem::path& path) {
  if (!is_there(path)) return json(nullptr);
  return read_object(path);
}

/// "chat_template" of a configuration: the template itself, or a list of {"name", "template"} with a default.
std::optional<std::string> template_in(const json& configuration) {
  if (!configuration.is_object()) return std::nullopt;
  const auto found = configuration.find("chat_template");
  if (found == configuration.end()) return std::nullopt;
  if (found->is_string()) return found->get<std::string>();
  if (!found->is_array()) return std::nullopt;
  for (const json& entry : *found) {
    if (entry.is_object() && entry.value("name", json()) == "default" && entry.contains("template") &&
        entry["template"].is_string()) {
      return entry["template"].get<std::string>();
    }
  }
  return std::nullopt;
}

/// model-00001-of-00003.safetensors and the others, where all are there; nothing where one is missing.
std::vector<std::string> numbered_shards(const std::filesystem::path& directory) {
  constexpr std::string_view kFirst = "model-00001-of-", kEnd = ".safetensors";
  std::error_code error;
  for (std::filesystem::directory_iterator it(directory, error), end; !error && it != end; it.increment(error)) {
    const std::string first = it->path().filename().string();
    if (!first.starts_with(kFirst) || first.size() != kFirst.size() + 5 + kEnd.size()) continue;
    const std::string total = first.substr(kFirst.size(), 5);
    std::vector<std::string> shards;
    for (uint32_t i = 1;; ++i) {
      std::string name = fmt::format("model-{:05}-of-{}{}", i, total, kEnd);
      if (!is_there(directory / name)) break;
      shards.push_back(std::move(name));
    }
    if (fmt::format("{:05}", shards.size()) == total) return shards;
  }
  return {};
}

}  // namespace

Result<std::unique_ptr<HuggingFaceDirectory>> HuggingFaceDirectory::open(const std::filesystem::path& path) {
  std::unique_ptr<HuggingFaceDirectory> directory(new HuggingFaceDirectory(path));
  if (auto read = directory->read_configuration(); !read) return pass_on(read);
  if (auto read = directory->read_chat_template(); !read) return pass_on(read);
  if (auto opened = directory->open_weights(); !opened) return pass_on(opened);
  return directory;
}

Result<void> HuggingFaceDirectory::read_configuration() {
  auto config = read_object(path() / "config.json");
  if (!config) return pass_on(config);
  config_ = std::move(*config);
  auto generation = read_optional_object(path() / "generation_config.json");
  if (!generation) return pass_on(generation);
  generation_config_ = std::move(*generation);
  auto tokenizer = read_optional_object(path() / "tokenizer_config.json");
  if (!tokenizer) return pass_on(tokenizer);
  tokenizer_config_ = std::move(*tokenizer);
  if (is_there(path() / "tokenizer.json")) tokenizer_path_ = path() / "tokenizer.json";
  return {};
}

Result<void> HuggingFaceDirectory::read_chat_template() {
  if (const auto file = path() / "chat_template.jinja"; is_there(file)) {
    auto text = read_whole_file(file);
    if (!text) return pass_on(text);
    chat_template_ = std::move(*text);
    return {};
  }
  auto object = read_optional_object(path() / "chat_template.json");
  if (!object) return pass_on(object);
  chat_template_ = template_in(*object);
  if (!chat_template_) chat_template_ = template_in(tokenizer_config_);
  return {};
}

Result<void> HuggingFaceDirectory::open_weights() {
  if (is_there(path() / kIndex)) {
    auto index = read_object(path() / kIndex);
    if (!index) return pass_on(index);
    return open_shards(*index);
  }
  if (const auto shards = numbered_shards(path()); !is_there(path() / kWeights) && !shards.empty()) {
    for (const std::string& shard : shards) {
      if (auto opened = open_file(shard, nullptr); !opened) return opened;
    }
    return {};
  }
  if (!is_there(path() / kWeights)) {
    const bool pickled = is_there(path() / "pytorch_model.bin") || is_there(path() / "pytorch_model.bin.index.json");
    return fail(ErrorCode::not_found, fmt::format("{}: there is neither {} nor {}", shown(path()), kWeights, kIndex),
                pickled
                    ? "pytorch_model.bin can run any code when it is loaded and is not read; convert it to safetensors"
                    : "download the weights into this directory");
  }
  return open_file(kWeights, nullptr);
}

Result<void> HuggingFaceDirectory::open_file(const std::string& name, const std::set<std::string>* expected) {
  auto opened = File::open(path() / name);
  if (!opened) return pass_on(opened);
  if (auto is_whole = refuse_lfs_pointer(*opened); !is_whole) return is_whole;
  const uint32_t file_index = add_file(std::move(*opened));
  auto header = read_safetensors_header(file(file_index));
  if (!header) return pass_on(header);
  // A shard may hold what the index does not name; only what it names belongs to the model.
  const auto wanted = [&](const std::string& tensor) { return !expected || expected->contains(tensor); };
  size_t found = 0;
  for (TensorInfo& tensor : header->tensors) {
    if (!wanted(tensor.name)) continue;
    tensor.file = file_index;
    if (auto added = add_tensor(std::move(tensor)); !added) return added;
    ++found;
  }
  for (SafetensorsHeader::Unsupported& tensor : header->unsupported) {
    if (!wanted(tensor.name)) continue;
    if (auto added = add_unsupported(std::move(tensor.name), std::move(tensor.why)); !added) return added;
    ++found;
  }
  if (!expected || found == expected->size()) return {};
  const auto missing = std::ranges::find_if_not(*expected, [&](const auto& tensor) { return contains(tensor); });
  return fail(
      ErrorCode::corrupt,
      fmt::format("{}: tensor {} should be here according to {}", shown(path() / name), printable(*missing), kIndex),
      "the files do not belong together; download them again");
}

Result<void> HuggingFaceDirectory::open_shards(const json& index) {
  const auto failure = [&](std::string_view why) {
    return fail(ErrorCode::corrupt, fmt::format("{}: {}", shown(path() / kIndex), why));
  };
  const auto weight_map = index.find("weight_map");
  if (weight_map == index.end() || !weight_map->is_object()) return failure("there is no object weight_map");
  std::map<std::string, std::set<std::string>> tensors_of_shards;
  for (const auto& [tensor, shard] : weight_map->items()) {
    if (!shard.is_string()) return failure(fmt::format("weight_map: {} does not name a file", printable(tensor)));
    tensors_of_shards[shard.get<std::string>()].insert(tensor);
  }
  if (tensors_of_shards.empty()) return failure("weight_map is empty");
  for (const auto& [shard, tensors] : tensors_of_shards) {
    // A name with a slash could lead anywhere on the disk.
    if (shard.empty() || shard.find_first_of(std::string_view("/\\\0", 3)) != shard.npos || shard.starts_with('.')) {
      return failure(fmt::format("weight_map names the file \"{}\", which is not beside it", printable(shard)));
    }
    if (auto opened = open_file(shard, &tensors); !opened) return opened;
  }
  return {};
}

}  // namespace hearth
