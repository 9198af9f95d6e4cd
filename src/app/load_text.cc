#include "app/load_text.h"

#include <nlohmann/json.hpp>

#include "base/file.h"
#include "formats/gguf.h"
#include "formats/huggingface.h"

namespace hearth::app {
namespace {

std::optional<uint32_t> optional_u32(const GgufMetadata& metadata, std::string_view key) {
  const auto value = metadata.get_u32(key);
  return value ? std::optional(*value) : std::nullopt;
}

std::optional<bool> optional_bool(const GgufMetadata& metadata, std::string_view key) {
  const auto value = metadata.get_bool(key);
  return value ? std::optional(*value) : std::nullopt;
}

std::vector<std::string> copy_strings(const GgufMetadata& metadata, std::string_view key) {
  std::vector<std::string> strings;
  const auto array = metadata.get_string_array(key);
  if (!array) return strings;
  strings.reserve((*array)->size());
  for (size_t i = 0; i < (*array)->size(); ++i) strings.emplace_back((**array)[i]);
  return strings;
}

Result<void> set_tokenizer(ModelText& text, Result<Tokenizer> tokenizer) {
  if (!tokenizer) return pass_on(tokenizer);
  text.tokenizer = std::make_unique<Tokenizer>(std::move(*tokenizer));
  return {};
}

Result<void> set_template(ModelText& text, std::string_view source) {
  auto chat_template = ChatTemplate::from_source(source, text.tokenizer->bos_text(), text.tokenizer->eos_text());
  if (!chat_template) return pass_on(chat_template);
  text.chat_template = std::make_unique<ChatTemplate>(std::move(*chat_template));
  return {};
}

Result<ModelText> load(const Gguf& gguf) {
  ModelText text;
  const GgufMetadata& metadata = gguf.metadata();
  const std::string model = metadata.get_string("tokenizer.ggml.model", "no_vocab").value_or("no_vocab");
  if (model == "no_vocab" || model == "none") return text;
  if (auto set = set_tokenizer(text, Tokenizer::from_gguf(read_vocabulary(metadata, model))); !set) return pass_on(set);
  const auto source = metadata.get_string("tokenizer.chat_template", "");
  if (!source || source->empty()) return text;
  if (auto set = set_template(text, *source); !set) return pass_on(set);
  return text;
}

/// Fields of generation_config.json that are numbers become defaults; everything else there is for other libraries.
SamplingParams read_sampling(const nlohmann::json& config) {
  SamplingParams sampling;
  if (!config.is_object()) return sampling;
  const auto number = [&](const char* key, auto& target, double low, double high) {
    if (!config.contains(key) || !config[key].is_number()) return;
    const double value = config[key].get<double>();
    if (value >= low && value <= high) target = static_cast<std::remove_reference_t<decltype(target)>>(value);
  };
  number("temperature", sampling.temperature, 0, 2);
  number("top_k", sampling.top_k, 0, 1 << 24);
  number("top_p", sampling.top_p, 1e-6, 1);
  number("min_p", sampling.min_p, 0, 1);
  number("repetition_penalty", sampling.repetition_penalty, 0.01, 10);
  return sampling;
}

Result<ModelText> load(const HuggingFaceDirectory& directory) {
  ModelText text;
  text.default_sampling = read_sampling(directory.generation_config());
  if (!directory.tokenizer_path()) return text;
  const auto json = read_whole_file(*directory.tokenizer_path());
  if (!json) return std::unexpected(json.error());
  const std::string config = directory.tokenizer_config().is_null() ? "" : directory.tokenizer_config().dump();
  auto tokenizer = Tokenizer::from_json(*json, config.empty() ? std::nullopt : std::optional<std::string_view>(config));
  if (auto set = set_tokenizer(text, std::move(tokenizer)); !set) return pass_on(set);
  if (!directory.chat_template()) return text;
  if (auto set = set_template(text, *directory.chat_template()); !set) return pass_on(set);
  return text;
}

}  // namespace

GgufVocabulary read_vocabulary(const GgufMetadata& metadata, std::string model) {
  const std::string prefix = "tokenizer.ggml.";
  return {.model = std::move(model),
          .pre = metadata.get_string(prefix + "pre", "").value_or(""),
          .tokens = copy_strings(metadata, prefix + "tokens"),
          .scores = metadata.get_f32_array(prefix + "scores").value_or(std::vector<float>()),
          .token_types = metadata.get_i32_array(prefix + "token_type").value_or(std::vector<int32_t>()),
          .merges = copy_strings(metadata, prefix + "merges"),
          .bos = optional_u32(metadata, prefix + "bos_token_id"),
          .eos = optional_u32(metadata, prefix + "eos_token_id"),
          .eot = optional_u32(metadata, prefix + "eot_token_id"),
          .unknown = optional_u32(metadata, prefix + "unknown_token_id"),
          .add_bos = optional_bool(metadata, prefix + "add_bos_token"),
          .add_eos = optional_bool(metadata, prefix + "add_eos_token"),
          .add_space_prefix = optional_bool(metadata, prefix + "add_space_prefix")};
}

Result<ModelText> load_text(const Checkpoint& checkpoint) {
  return checkpoint.as_gguf() != nullptr ? load(*checkpoint.as_gguf()) : load(*checkpoint.as_hugging_face());
}

}  // namespace hearth::app
