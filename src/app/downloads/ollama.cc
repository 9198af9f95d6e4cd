#include "app/downloads/ollama.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>

#include "app/downloads/disk_questions.h"
#include "base/file.h"
#include "base/json.h"
#include "base/printable.h"

namespace hearth::app {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr const char* kHost = "registry.ollama.ai";
constexpr const char* kNamespace = "library";
constexpr const char* kTag = "latest";

struct OllamaName {
  std::string host = kHost, name_space = kNamespace, model, tag = kTag;

  static std::optional<OllamaName> parse(const std::string& text) {
    std::vector<std::string> parts = split_at_slashes(text);
    OllamaName name;
    std::string& last = parts.back();
    if (const size_t colon = last.rfind(':'); colon != last.npos) {
      name.tag = last.substr(colon + 1);
      last.resize(colon);
    }
    if (parts.size() > 3) return std::nullopt;
    name.model = last;
    if (parts.size() > 1) name.name_space = parts[parts.size() - 2];
    if (parts.size() > 2) name.host = parts[0];
    const bool is_one =
        is_name_part(name.host) && is_name_part(name.name_space) && is_name_part(name.model) && is_name_part(name.tag);
    return is_one ? std::optional(name) : std::nullopt;
  }

  std::string shortest() const {
    std::string text = host == kHost ? "" : host + "/";
    if (host != kHost || name_space != kNamespace) text += name_space + "/";
    return text + model + ":" + tag;
  }
};

struct Layer {
  std::string kind;  // the last word of its media type: model, template, params, ...
  std::string blob;  // its file's name; empty where the manifest names none that may be one
  std::optional<uint64_t> bytes;
};

/// "sha256-..." of "sha256:...", if that is all it is.
std::string blob_name(const std::string& digest) {
  constexpr std::string_view kAlgorithm = "sha256";
  constexpr size_t kDigits = 64;
  if (digest.size() != kAlgorithm.size() + 1 + kDigits || !digest.starts_with(kAlgorithm)) return {};
  if (digest[kAlgorithm.size()] != ':' && digest[kAlgorithm.size()] != '-') return {};
  const std::string digits = digest.substr(kAlgorithm.size() + 1);
  return digits.find_first_not_of("0123456789abcdefABCDEF") == digits.npos ? "sha256-" + digits : std::string();
}

Layer layer_of(const json& layer) {
  Layer read;
  if (!layer.is_object()) return read;
  const auto text_of = [&](const char* key) {
    const auto found = layer.find(key);
    return found != layer.end() && found->is_string() ? found->get<std::string>() : std::string();
  };
  const std::string type = text_of("mediaType");
  read.kind = type.substr(type.rfind('.') + 1);
  read.blob = blob_name(text_of("digest"));
  if (const auto size = layer.find("size"); size != layer.end() && size->is_number_unsigned()) {
    read.bytes = size->get<uint64_t>();
  }
  return read;
}

Result<std::vector<Layer>> read_manifest(const fs::path& path) {
  constexpr uint64_t kMostBytes = 4u << 20;
  auto text = read_whole_file(path, kMostBytes);
  if (!text) return pass_on(text);
  const auto manifest = parse_json(*text, path.native());
  if (!manifest) return std::unexpected(manifest.error());
  const auto listed = manifest->is_object() ? manifest->find("layers") : manifest->end();
  std::vector<Layer> layers;
  if (!manifest->is_object() || listed == manifest->end() || !listed->is_array()) return layers;
  for (const json& layer : *listed) layers.push_back(layer_of(layer));
  return layers;
}

Unfinished unfinished_of(const fs::path& blob) {
  Unfinished unfinished;
  fs::path partial = blob;
  partial += "-partial";
  if (is_there(partial)) unfinished = {.files = 1, .bytes = file_bytes(partial)};
  return unfinished;
}

/// Why the layers are no model that hearth could read; or empty.
std::string problem_of(const std::vector<Layer>& layers) {
  const auto count = [&](std::string_view kind) { return std::ranges::count(layers, kind, &Layer::kind); };
  if (count("adapter") > 0) return "an adapter changes its weights, which hearth does not apply";
  if (count("tensor") > 0) return "its weights are not one GGUF file but a file for each tensor";
  if (count("model") == 0) return "its manifest names no weights, as with models that run in Ollama's cloud";
  if (count("model") > 1) return fmt::format("its manifest names {} files of weights", count("model"));
  if (std::ranges::find(layers, "model", &Layer::kind)->blob.empty()) {
    return "its manifest does not name its weights by a SHA-256";
  }
  return {};
}

/// What there is beside the weights.
std::vector<std::string> ignored_of(const std::vector<Layer>& layers) {
  std::vector<std::string> kinds;
  for (const Layer& layer : layers) {
    if (layer.kind == "model" || layer.kind == "license" || layer.kind.empty()) continue;
    if (std::ranges::find(kinds, layer.kind) == kinds.end()) kinds.push_back(printable(layer.kind));
  }
  return kinds;
}

DownloadedModel model_of(const fs::path& folder, const OllamaName& name, const fs::path& manifest) {
  DownloadedModel model{.name = name.shortest(), .tool = Tool::ollama, .path = manifest};
  const auto layers = read_manifest(manifest);
  model.problem = layers ? problem_of(*layers) : layers.error().message;
  if (!model.problem.empty()) return model;
  const Layer& weights = *std::ranges::find(*layers, "model", &Layer::kind);
  model.path = folder / "blobs" / weights.blob;
  model.format = "GGUF";
  model.ignored = ignored_of(*layers);
  model.bytes = file_bytes(model.path);
  if (!is_there(model.path)) {
    model.lacks.push_back(fmt::format("its weights ({})", weights.blob));
    model.unfinished = unfinished_of(model.path);
  } else if (weights.bytes && *weights.bytes != model.bytes) {
    model.problem = fmt::format("its weights have {} bytes, and {} by the manifest", model.bytes, *weights.bytes);
  }
  return model;
}

}  // namespace

bool is_ollama_folder(const fs::path& folder) { return is_folder(folder / "manifests") && is_folder(folder / "blobs"); }

std::vector<DownloadedModel> ollama_models(const fs::path& folder) {
  std::vector<DownloadedModel> found;
  for (const fs::path& host : entries_of(folder / "manifests")) {
    for (const fs::path& name_space : entries_of(host)) {
      for (const fs::path& model : entries_of(name_space)) {
        for (const fs::path& tag : entries_of(model)) {
          const auto name =
              OllamaName::parse(fmt::format("{}/{}/{}:{}", host.filename().native(), name_space.filename().native(),
                                            model.filename().native(), tag.filename().native()));
          if (name && !is_folder(tag)) found.push_back(model_of(folder, *name, tag));
        }
      }
    }
  }
  return found;
}

std::optional<DownloadedModel> find_in_ollama(const fs::path& folder, const ModelName& name) {
  const auto parsed = OllamaName::parse(name.text);
  if (!parsed) return std::nullopt;
  const fs::path manifest = folder / "manifests" / parsed->host / parsed->name_space / parsed->model / parsed->tag;
  if (!is_there(manifest) || is_folder(manifest)) return std::nullopt;
  return model_of(folder, *parsed, manifest);
}

}  // namespace hearth::app
