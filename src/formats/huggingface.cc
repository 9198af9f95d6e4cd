#include "formats/huggingface.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "base/printable.h"
#include "formats/codings/codings.h"
#include "formats/directory_files.h"
#include "formats/layered_files.h"
#include "formats/lfs_pointer.h"
#include "formats/quantization_config.h"
#include "formats/safetensors.h"

namespace hearth {
namespace {

using nlohmann::json;

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
  auto files = find_weight_files(path(), config_);
  if (!files) return pass_on(files);
  codings::StoredTensors stored;
  for (const WeightFile& file : *files) {
    if (auto opened = open_file(file, stored); !opened) return opened;
  }
  if (auto joined = join_coded(stored); !joined) return joined;
  return add_tensors(std::move(stored));
}

Result<void> HuggingFaceDirectory::join_coded(codings::StoredTensors& stored) {
  codings::join_layered(stored);
  if (stored.joined() > 0) coded_as_ = "the layered layout, by its files' __metadata__";
  auto quantization = find_quantization_config(path(), config_);
  if (!quantization) return pass_on(quantization);
  if (!*quantization) return {};
  const auto& [source, value] = **quantization;
  auto joined = codings::join_quantized(stored, value);
  if (joined) {
    coded_as_ = fmt::format("{}, by {}", value["quant_method"].get<std::string>(), source);
  } else {
    quantization_error_ = joined.error();
    quantization_error_->message = fmt::format("{}: {}: {}", shown(path()), source, quantization_error_->message);
  }
  return {};
}

Result<void> HuggingFaceDirectory::open_file(const WeightFile& wanted, codings::StoredTensors& stored) {
  auto opened = File::open(path() / wanted.name);
  if (!opened) return pass_on(opened);
  if (auto is_whole = refuse_lfs_pointer(*opened); !is_whole) return is_whole;
  const uint32_t file_index = add_file(std::move(*opened));
  auto header = read_safetensors_header(file(file_index));
  if (!header) return pass_on(header);
  // A shard may hold what the index does not name; only what it names belongs to the model.
  const auto is_wanted = [&](const std::string& tensor) { return !wanted.tensors || wanted.tensors->contains(tensor); };
  const auto twice = [&](const std::string& tensor) {
    return fail(ErrorCode::corrupt,
                fmt::format("{}: tensor {} is there twice", shown(path() / wanted.name), printable(tensor)));
  };
  size_t found = 0;
  for (TensorInfo& tensor : header->tensors) {
    if (!is_wanted(tensor.name)) continue;
    if (stored.contains(tensor.name)) return twice(tensor.name);
    tensor.file = file_index;
    stored.tensors.emplace(tensor.name, std::move(tensor));
    ++found;
  }
  for (SafetensorsHeader::Unsupported& tensor : header->unsupported) {
    if (!is_wanted(tensor.name)) continue;
    if (stored.contains(tensor.name)) return twice(tensor.name);
    stored.unsupported.emplace(tensor.name, std::move(tensor.why));
    ++found;
  }
  stored.metadata.merge(header->metadata);
  if (!wanted.tensors || found == wanted.tensors->size()) return {};
  const auto missing =
      std::ranges::find_if_not(*wanted.tensors, [&](const auto& tensor) { return stored.contains(tensor); });
  return fail(ErrorCode::corrupt,
              fmt::format("{}: tensor {} should be here according to model.safetensors.index.json",
                          shown(path() / wanted.name), printable(*missing)),
              "the files do not belong together; download them again");
}

Result<void> HuggingFaceDirectory::add_tensors(codings::StoredTensors stored) {
  std::vector<TensorInfo> tensors;
  for (auto& [name, tensor] : stored.tensors) tensors.push_back(std::move(tensor));
  std::ranges::sort(tensors, {}, [](const TensorInfo& tensor) { return std::pair(tensor.file, tensor.offset); });
  for (TensorInfo& tensor : tensors) {
    if (auto added = add_tensor(std::move(tensor)); !added) return added;
  }
  for (auto& [name, why] : stored.unsupported) {
    if (auto added = add_unsupported(name, std::move(why)); !added) return added;
  }
  return {};
}

std::string HuggingFaceDirectory::where_it_should_be(std::string_view tensor) const {
  std::vector<std::string> files;
  for (uint32_t i = 0; i < file_count(); ++i) files.push_back(file(i).path().filename().string());
  return where_layer_lies(files, tensor);
}

}  // namespace hearth
