#include "formats/quantization_config.h"

#include "formats/directory_files.h"

namespace hearth {
namespace {

using nlohmann::json;

/// A file of a quantizer, and its method where it does not say it.
struct SideFile {
  const char* name;
  const char* method;
  const char* part;  ///< the key under which it all is, or null
};
constexpr SideFile kSideFiles[] = {{"quantize_config.json", "gptq", nullptr},
                                   {"quant_config.json", "awq", nullptr},
                                   {"hf_quant_config.json", "modelopt", "quantization"}};

std::optional<QuantizationConfig> in_config(const json& config) {
  const json text = config.value("text_config", json());
  for (const json& part : {config, text}) {
    for (const char* key : {"quantization_config", "compression_config"}) {
      if (!part.is_object() || !part.contains(key) || part[key].is_null()) continue;
      return QuantizationConfig{std::string("config.json's ") + key, part[key]};
    }
  }
  return {};
}

}  // namespace

Result<std::optional<QuantizationConfig>> find_quantization_config(const std::filesystem::path& directory,
                                                                   const json& config) {
  if (auto found = in_config(config)) return found;
  for (const SideFile& file : kSideFiles) {
    auto object = read_optional_object(directory / file.name);
    if (!object) return pass_on(object);
    json value = file.part != nullptr && object->is_object() ? object->value(file.part, json()) : *object;
    if (!value.is_object()) continue;
    if (!value.contains("quant_method")) value["quant_method"] = file.method;
    return QuantizationConfig{file.name, std::move(value)};
  }
  return std::nullopt;
}

}  // namespace hearth
