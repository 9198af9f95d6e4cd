#include "app/load_text.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/file.h"
#include "base/printable.h"
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

Result<void> go_on(const std::stop_token& stop) {
  if (stop.stop_requested()) return fail(ErrorCode::cancelled, "loading was cancelled");
  return {};
}

Result<void> set_tokenizer(ModelText& text, Result<Tokenizer> tokenizer) {
  if (!tokenizer) return pass_on(tokenizer);
  text.tokenizer = std::make_unique<Tokenizer>(std::move(*tokenizer));
  return {};
}

Result<std::unique_ptr<ChatTemplate>> compile(const ModelText& text, std::string_view source) {
  auto chat_template = ChatTemplate::from_source(source, text.tokenizer->bos_text(), text.tokenizer->eos_text());
  if (!chat_template) return pass_on(chat_template);
  return std::make_unique<ChatTemplate>(std::move(*chat_template));
}

/// The checkpoint's template. One that cannot be used costs the chat, not the completions.
void set_template(ModelText& text, const std::optional<std::string>& source) {
  if (!source || source->empty()) return;
  auto chat_template = compile(text, *source);
  if (chat_template) {
    text.chat_template = std::move(*chat_template);
  } else {
    text.chat_template_error = std::move(chat_template.error());
  }
}

Result<void> replace_template(ModelText& text, const std::filesystem::path& file) {
  if (text.tokenizer == nullptr) {
    return fail(ErrorCode::unsupported, "a chat template cannot be used: the model has no tokenizer");
  }
  const auto source = read_whole_file(file);
  if (!source) return std::unexpected(source.error());
  auto chat_template = compile(text, *source);
  if (!chat_template) {
    Error error = std::move(chat_template.error());
    error.message = fmt::format("{}: {}", printable(file.native(), 1024), error.message);
    return std::unexpected(std::move(error));
  }
  text.chat_template = std::move(*chat_template);
  text.chat_template_error.reset();
  return {};
}

Result<ModelText> load(const Gguf& gguf, const std::stop_token& stop) {
  ModelText text;
  const GgufMetadata& metadata = gguf.metadata();
  const std::string model = metadata.get_string("tokenizer.ggml.model", "no_vocab").value_or("no_vocab");
  if (model == "no_vocab" || model == "none") return text;
  const GgufVocabulary vocabulary = read_vocabulary(metadata, model);
  if (auto goes_on = go_on(stop); !goes_on) return pass_on(goes_on);
  if (auto set = set_tokenizer(text, Tokenizer::from_gguf(vocabulary)); !set) return pass_on(set);
  if (auto goes_on = go_on(stop); !goes_on) return pass_on(goes_on);
  set_template(text, metadata.get_string("tokenizer.chat_template", "").value_or(""));
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

/// What a tokenizer.json does not say: a tokenizer_config.json without the thousands of tokens that both have.
std::string tokens_of_config(const nlohmann::json& config) {
  nlohmann::json tokens = nlohmann::json::object();
  for (const char* name : {"bos_token", "eos_token", "unk_token", "add_bos_token", "add_eos_token"}) {
    if (config.is_object() && config.contains(name)) tokens[name] = config[name];
  }
  return tokens.dump();
}

Result<ModelText> load(const HuggingFaceDirectory& directory, const std::stop_token& stop) {
  ModelText text;
  text.default_sampling = read_sampling(directory.generation_config());
  if (!directory.tokenizer_path()) return text;
  const auto json = read_whole_file(*directory.tokenizer_path());
  if (!json) return std::unexpected(json.error());
  if (auto goes_on = go_on(stop); !goes_on) return pass_on(goes_on);
  auto tokenizer = Tokenizer::from_json(*json, tokens_of_config(directory.tokenizer_config()));
  if (auto set = set_tokenizer(text, std::move(tokenizer)); !set) return pass_on(set);
  if (auto goes_on = go_on(stop); !goes_on) return pass_on(goes_on);
  set_template(text, directory.chat_template());
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

Result<ModelText> load_text(const Checkpoint& checkpoint, const std::filesystem::path& chat_template,
                            const std::stop_token& stop) {
  auto text =
      checkpoint.as_gguf() != nullptr ? load(*checkpoint.as_gguf(), stop) : load(*checkpoint.as_hugging_face(), stop);
  if (!text || chat_template.empty()) return text;
  if (auto replaced = replace_template(*text, chat_template); !replaced) return pass_on(replaced);
  return text;
}

}  // namespace hearth::app
