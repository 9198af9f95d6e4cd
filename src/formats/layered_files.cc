#include "formats/layered_files.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <charconv>
#include <set>

#include "formats/directory_files.h"

namespace hearth {
namespace {

bool take(std::string_view& text, std::string_view wanted) {
  if (!text.starts_with(wanted)) return false;
  text.remove_prefix(wanted.size());
  return true;
}

/// At most six digits.
std::optional<uint32_t> take_number(std::string_view& text) {
  uint32_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + std::min<size_t>(text.size(), 6), number);
  if (error != std::errc()) return {};
  text.remove_prefix(static_cast<size_t>(end - text.data()));
  return number;
}

std::unexpected<Error> missing(const std::filesystem::path& directory, const std::string& what) {
  return fail(ErrorCode::not_found, fmt::format("{}: there is no file of {}", shown(directory), what),
              "copy it into this directory");
}

/// 0 where config.json does not say.
uint32_t layers_of(const nlohmann::json& config) {
  const auto inner = config.find("text_config");
  const nlohmann::json& text = inner != config.end() && inner->is_object() ? *inner : config;
  const auto layers = text.find("num_hidden_layers");
  return layers != text.end() && layers->is_number_unsigned() && *layers < 100'000 ? layers->get<uint32_t>() : 0;
}

}  // namespace

std::optional<LayeredName> parse_layered_name(std::string_view name) {
  LayeredName parsed;
  if (!take(name, "model-")) return {};
  const auto shard = take_number(name);
  if (!shard || !take(name, "-of-")) return {};
  const auto shards = take_number(name);
  if (!shards) return {};
  parsed = {.shard = *shard, .shards = *shards, .layer = {}};
  if (name == "_shared.safetensors") return parsed;
  if (!take(name, "_layer_")) return {};
  parsed.layer = take_number(name);
  if (!parsed.layer || name != ".safetensors") return {};
  return parsed;
}

Result<std::vector<std::string>> find_layered_files(const std::filesystem::path& directory,
                                                    const std::vector<std::string>& names,
                                                    const nlohmann::json& config) {
  std::vector<std::string> files;
  std::set<uint32_t> shards, layers;
  uint32_t all_shards = 0, most_layers = layers_of(config);
  for (const std::string& name : names) {
    const auto parsed = parse_layered_name(name);
    if (!parsed) continue;
    if (!files.empty() && parsed->shards != all_shards) {
      return fail(ErrorCode::corrupt,
                  fmt::format("{}: {} and {} are of different checkpoints", shown(directory), files.front(), name),
                  "keep those of one of them");
    }
    all_shards = parsed->shards;
    shards.insert(parsed->shard);
    if (parsed->layer) layers.insert(*parsed->layer);
    files.push_back(name);
  }
  if (files.empty()) return files;
  for (uint32_t shard = 1; shard <= all_shards; ++shard) {
    if (!shards.contains(shard)) return missing(directory, fmt::format("shard {} of {}", shard, all_shards));
  }
  if (most_layers == 0 && !layers.empty()) most_layers = *layers.rbegin() + 1;
  for (uint32_t layer = 0; layer < most_layers; ++layer) {
    if (!layers.contains(layer)) {
      return missing(directory,
                     fmt::format("layer {} (model-...-of-{:05}_layer_{}.safetensors)", layer, all_shards, layer));
    }
  }
  return files;
}

std::string where_layer_lies(const std::vector<std::string>& files, std::string_view tensor) {
  constexpr std::string_view kLayers = ".layers.";
  const size_t at = tensor.find(kLayers);
  if (at == tensor.npos) return {};
  tensor.remove_prefix(at + kLayers.size());
  const auto layer = take_number(tensor);
  std::vector<std::string> of_layer;
  for (const std::string& file : files) {
    const auto parsed = parse_layered_name(file);
    if (layer && parsed && parsed->layer == layer) of_layer.push_back(file);
  }
  if (of_layer.empty()) return {};
  return fmt::format("layer {} has {} alone; a layer may be split over two shards, and its other file is missing",
                     *layer, fmt::join(of_layer, " and "));
}

}  // namespace hearth
